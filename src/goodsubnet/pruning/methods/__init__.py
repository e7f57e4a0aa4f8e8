"""Pruning methods: a module each, found by being there. `pruning.contract` says what one has.

A module is imported while the workflow is parsed, so what is slow to import is imported inside `select`.
"""
