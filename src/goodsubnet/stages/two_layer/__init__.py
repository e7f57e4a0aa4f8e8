"""The stages of two-layer networks."""
