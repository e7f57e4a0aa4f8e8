"""Sources of data: one module each, found automatically. docs/plugins.md says what a source has."""
