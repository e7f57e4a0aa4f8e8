"""What a selection of neurons may look at."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from goodsubnet.networks.two_layer import neuron_outputs


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
        chosen: dict[str, Any] = {name: array[neurons] for name, array in self.weights.items()}
        if not isinstance(self.inputs, np.ndarray):
            chosen = {name: self.inputs.new_tensor(array) for name, array in chosen.items()}
        return neuron_outputs(chosen, self.inputs, self.activation)
