"""Pruning of trained networks: the methods, a deep network layer by layer, the physical removal of channels."""
