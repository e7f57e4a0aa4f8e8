"""Figures: `canvas` is what they share, the others draw; each returns a Matplotlib figure and writes nothing."""
