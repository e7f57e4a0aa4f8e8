"""The stages of the chain: a class each, found by being there. `base` says what one has."""
