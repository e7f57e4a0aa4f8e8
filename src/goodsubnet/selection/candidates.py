"""What a selection of neurons may look at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from goodsubnet.networks.two_layer import neuron_outputs
from goodsubnet.runtime.group import ALONE, Alone, Workers

if TYPE_CHECKING:
    from goodsubnet.networks.two_layer import Array


@dataclass(frozen=True)
class Candidates:
    """What a method may look at: a trained two-layer network, and the sub-dataset it was trained on.

    weights: {"a": (N, d), "b": (N,)}, numpy. inputs: (examples, d) and targets: (examples,): numpy arrays, or torch
    tensors on an accelerator. loss: "logistic" or "squared". threads: cores to use. workers: who select together.
    """

    weights: dict[str, np.ndarray]
    inputs: "Array"
    targets: "Array"
    activation: str
    loss: str
    threads: int
    workers: Workers | Alone = ALONE

    @property
    def width(self) -> int:
        return len(self.weights["b"])

    @property
    def share(self) -> range:
        """The neurons of this worker: as many as any other's, or one more."""
        rank, size = self.workers.rank, self.workers.size
        return range(self.width * rank // size, self.width * (rank + 1) // size)

    def outputs(self, neurons: np.ndarray | None = None) -> "Array":
        """(examples, neurons): the outputs of this worker's share, or of the neurons given; the kind of `inputs`."""
        # Weights and inputs are of one kind when they are used, which their types cannot say.
        chosen: dict[str, Any] = dict(self.weights)
        if neurons is not None:
            chosen = {name: array[neurons] for name, array in chosen.items()}
        if not isinstance(self.inputs, np.ndarray):
            chosen = {name: self.inputs.new_tensor(array) for name, array in chosen.items()}
        if neurons is not None:
            return neuron_outputs(chosen, cast(np.ndarray, self.inputs), self.activation)
        return neuron_outputs(chosen, cast(np.ndarray, self.inputs), self.activation, self.share.start, self.share.stop)
