"""One checkpoint of a two-layer network, observed on a probe: everything from one pass of it through the network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import neuron_outputs
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.settings.stages import ProbeSelection
from goodsubnet.stopping.observation import Observation, relative_distance
from goodsubnet.theory.bounds import trivial_loss, variance_form, variance_recursion
from goodsubnet.theory.geometry import mean_output, squared_distances
from goodsubnet.training.losses import accuracy, mean_loss

if TYPE_CHECKING:
    from goodsubnet.networks.two_layer import Array


def observe(
    weights: Mapping[str, np.ndarray],
    inputs: np.ndarray,
    targets: np.ndarray,
    initial: "Mapping[str, Array]",
    iteration: int,
    *,
    activation: str,
    loss: str,
    selection: ProbeSelection,
    threads: int = 1,
) -> Observation:
    """weights, initial: {"a": (N, d), "b": (N,)}. inputs: (examples, d) float32; targets: (examples,), of the loss.

    selection: how greedy forward selection ends, by which the subnetwork is chosen.
    Cost: a pass of the probe, and for the choice a multiplication and addition per example, neuron and step.
    Raises UserError where an output is not a finite number.
    """
    outputs = neuron_outputs(weights, inputs, activation)
    center = mean_output(outputs)
    try:
        chosen = greedy_forward_selection(
            outputs,
            targets,
            selection.steps,
            loss,
            distinct=selection.distinct,
            max_steps=selection.max_steps,
            threads=threads,
        )
    except ValueError as error:
        raise UserError(f"the selection failed: {error}; look at the training of this checkpoint") from None
    examples, neurons = outputs.shape
    steps = len(chosen.neurons)
    pruned = outputs.T[chosen.neurons].mean(axis=0, dtype=np.float64)
    dense_loss, spread = mean_loss(center, targets, loss), float(squared_distances(outputs, center).mean()) / examples
    # The sharpest bound that knows nothing but the dense network.
    bounds = (
        variance_recursion(dense_loss, spread, steps)
        if loss == "squared"
        else variance_form(dense_loss, spread, steps, loss)
    )
    selecting = examples * (1 + steps / inputs.shape[1])
    return Observation(
        iteration=iteration,
        pruned_loss=float(chosen.losses[-1]),
        pruned_accuracy=accuracy(pruned, targets),
        dense_loss=dense_loss,
        dense_accuracy=accuracy(center, targets),
        trivial_loss=trivial_loss(targets, loss),
        bound=float(bounds[-1]),
        distance=relative_distance({name: weights[name] for name in "ab"}, initial),
        chosen=np.unique(chosen.neurons).tolist(),
        candidates=neurons,
        forward_passes={"pruned_loss": selecting, "chosen": selecting, "bound": float(examples), "distance": 0.0},
    )
