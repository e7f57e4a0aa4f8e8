"""Architectures of deep networks: one module each, found automatically. docs/plugins.md says what one has."""
