"""Figures: a module and a caption (`<figure>.rst`) each, found automatically. `plots.contract` says what one has.

A module is imported while the workflow is parsed, so what draws is imported inside `draw`.
"""
