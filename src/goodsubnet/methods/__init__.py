"""Pruning methods: a module each, with `Settings` and `select`. A new method is a new file here.

Settings: a model derived from goodsubnet.settings.NeuronMethodSettings, for two-layer networks, or LayerMethodSettings,
for deep ones; it says what keys the method has.
select(candidates, settings, seed) -> Selection: chooses among the neurons of a trained two-layer network, and says how
loss, size and cost went (goodsubnet.selection.trace).
select(context, settings) -> LayerSelection: chooses among the channels of a layer (goodsubnet.pruning.LayerContext).
The module is imported while the workflow is parsed, so what is slow to import is imported inside `select`.
"""

import importlib
from types import ModuleType


def load_method(algorithm: str) -> ModuleType:
    """The module of a method. Raises ModuleNotFoundError if there is none of this name."""
    return importlib.import_module(f"{__name__}.{algorithm}")
