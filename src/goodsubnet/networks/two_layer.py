"""The two-layer network of the paper: f(x) = (1/N) sum_i b_i act(a_i . x), an average over N hidden neurons.

Weights are a mapping {"a": (N, d), "b": (N,)}. Every function takes numpy arrays or torch tensors and returns the
same kind, so that training, pruning on an accelerator and evaluation without torch share one definition.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, cast, overload

import numpy as np

from goodsubnet.data.randomness import random_generator
from goodsubnet.settings.networks import TwoLayerArchitecture

if TYPE_CHECKING:
    import torch

    from goodsubnet.networks.passes import Inputs

Array: TypeAlias = "np.ndarray | torch.Tensor"
A = TypeVar("A", np.ndarray, "torch.Tensor")
"""What is given and what is returned are of one kind."""


class Activation(Protocol):
    """A function of each number."""

    @overload
    def __call__(self, x: np.ndarray, /) -> np.ndarray: ...
    @overload
    def __call__(self, x: "torch.Tensor", /) -> "torch.Tensor": ...


ACTIVATIONS: dict[str, Activation] = {
    "relu": lambda x: x.clip(min=0),
    "tanh": cast(Activation, lambda x: np.tanh(x) if isinstance(x, np.ndarray) else x.tanh()),
}
# Multiply-adds of a pass from which on it saves more than the half second in which the compiled code is loaded.
LARGE = 2**34
DERIVATIVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: (x > 0).astype(x.dtype),
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
}


def initial_weights(
    width: int, inputs: int, initialisation: str, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Weights before training, float32.

    initialisation: "scaled", a_i ~ N(0, I/d) [chosen, for MNIST], or "unit", a_i ~ N(0, I) [Assumption 1];
    b_i ~ N(0, 1) in both.
    """
    scale = inputs**-0.5 if initialisation == "scaled" else 1.0
    return {
        "a": (scale * generator.standard_normal((width, inputs))).astype(np.float32),
        "b": generator.standard_normal(width).astype(np.float32),
    }


def initial_weights_of(
    architecture: TwoLayerArchitecture, inputs: int, experiment: str, network: str, seed: int
) -> dict[str, np.ndarray]:
    """The weights that a trial begins with. architecture: of the network. inputs: d."""
    generator = random_generator("initial weights", experiment, network, seed)
    return initial_weights(architecture.width, inputs, architecture.initialisation, generator)


def _for_passes(width: int, inputs: object, activation: str) -> "Inputs | None":
    """Where outputs are computed by `networks.passes`: ReLU networks on many inputs that are mostly zero."""
    if activation != "relu" or not isinstance(inputs, np.ndarray) or width * inputs.size < LARGE:
        return None
    from goodsubnet.networks.passes import Inputs, is_sparse

    return Inputs(inputs, sparse=True) if is_sparse(inputs) else None


def forward(weights: Mapping[str, A], inputs: A, activation: str) -> A:
    """Output of the dense network (eq. 2). inputs: (examples, d). Returns (examples,)."""
    hidden = ACTIVATIONS[activation](inputs @ weights["a"].T)
    return hidden @ weights["b"] / len(weights["b"])


def forward_in_blocks(weights: Mapping[str, A], inputs: A, activation: str, cells: int = 2**24) -> np.ndarray:
    """`forward` for measuring, on the CPU as numpy: at most `cells` hidden outputs (64 MB) are held at a time."""
    compact = _for_passes(len(weights["b"]), inputs, activation)
    if compact is not None:
        from goodsubnet.networks import passes

        return passes.forward(cast(dict[str, np.ndarray], weights), compact)
    rows = max(1, cells // len(weights["b"]))
    blocks = [forward(weights, inputs[start : start + rows], activation) for start in range(0, len(inputs), rows)]
    return np.concatenate([block if isinstance(block, np.ndarray) else block.cpu().numpy() for block in blocks])


def subnetwork_forward(weights: Mapping[str, A], share: A, inputs: A, activation: str) -> A:
    """Output of a subnetwork (eq. 3). share: (neurons,), the multiplicity of each neuron over the number of steps."""
    return ACTIVATIONS[activation](inputs @ weights["a"].T) @ (weights["b"] * share)


def neuron_outputs(weights: Mapping[str, A], inputs: A, activation: str, first: int = 0, stop: int | None = None) -> A:
    """Outputs of the single neurons (eq. 1) from `first` to `stop` (excluded); column i is phi of neuron first + i.

    Returns (examples, neurons) float32, laid out neuron by neuron as the selection reads it: the transpose of a
    contiguous (neurons, examples) array, made in blocks of neurons so that nothing else of this size is held. A
    neuron's outputs do not depend on which others are asked for, not even in their last bit: the blocks are those of
    the whole network, because how a product of matrices is summed may depend on its shape.
    """
    width, examples = len(weights["b"]), len(inputs)
    stop = width if stop is None else stop
    compact = _for_passes(width, inputs, activation)
    if compact is not None:
        from goodsubnet.networks import passes

        computed: object = passes.neuron_outputs(cast(dict[str, np.ndarray], weights), compact, first, stop).T
        return cast(A, computed)
    block = block_of(width)
    if isinstance(inputs, np.ndarray):
        outputs = cast(A, np.empty((stop - first, examples), np.float32))
    else:
        outputs = inputs.new_empty((stop - first, examples))
    columns = inputs.T
    for start in range(first - first % block, stop, block):
        rows = slice(start, start + block)
        values = ACTIVATIONS[activation](weights["a"][rows] @ columns) * weights["b"][rows, None]
        begin, end = max(start, first), min(start + block, stop)
        outputs[begin - first : end - first] = values[begin - start : end - start]
    return outputs.T


def block_of(width: int) -> int:
    """How many neurons of a network are computed together: large enough to be fast, small beside a worker's share."""
    return min(512, max(32, width // 16))
