"""Sources of data: one module each, found by being there. `CONTRIBUTING.md` says what a source has."""
