"""Architectures of deep networks: a module each, found by being there. `CONTRIBUTING.md` says what one has."""
