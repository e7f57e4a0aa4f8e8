"""Stopping rules: one module each, found automatically. `stopping.contract` says what one has.

A module is imported while the workflow is parsed, so what is slow to import is imported inside `decide`.
"""
