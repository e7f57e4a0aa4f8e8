"""The stages of deep networks."""
