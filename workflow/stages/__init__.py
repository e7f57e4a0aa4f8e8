"""The stages of the chain: one class each, found automatically. `base` says what one has."""
