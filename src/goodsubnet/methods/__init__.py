"""Pruning methods: a module each, with `Settings` and `select`. A new method is a new file here.

Settings: a model derived from goodsubnet.settings.MethodSettings; it says what keys the method has.
select(candidates, settings, seed) -> Selection: chooses among the neurons of a trained network.
The module is imported while the workflow is parsed, so what is slow to import is imported inside `select`.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Candidates:
    """What a method may look at: a trained two-layer network, and the sub-dataset it was trained on.

    weights: {"a": (N, d), "b": (N,)}, numpy. inputs: (examples, d) and targets: (examples,): numpy arrays, or torch
    tensors on an accelerator. loss: "logistic" or "squared". threads: cores to use.
    """

    weights: dict[str, np.ndarray]
    inputs: Any
    targets: Any
    activation: str
    loss: str
    threads: int

    @property
    def width(self) -> int:
        return len(self.weights["b"])

    def outputs(self, neurons: Any = slice(None)) -> Any:
        """(examples, neurons): the outputs of all the neurons, or of those given; the same kind as `inputs`."""
        from goodsubnet.networks.two_layer import neuron_outputs

        chosen: dict[str, Any] = {name: array[neurons] for name, array in self.weights.items()}
        if not isinstance(self.inputs, np.ndarray):
            chosen = {name: self.inputs.new_tensor(array) for name, array in chosen.items()}
        return neuron_outputs(chosen, self.inputs, self.activation)


def load_method(algorithm: str) -> ModuleType:
    """The module of a method. Raises ModuleNotFoundError if there is none of this name."""
    return importlib.import_module(f"{__name__}.{algorithm}")
