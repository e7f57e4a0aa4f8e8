"""Iterative magnitude pruning of a two-layer network: neurons go in rounds, with training between them."""

from collections.abc import Mapping

import numpy as np

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import ACTIVATIONS, DERIVATIVES, forward_in_blocks
from goodsubnet.runtime.progress import Progress
from goodsubnet.selection.candidates import Candidates
from goodsubnet.selection.magnitude import ranked
from goodsubnet.selection.trace import Selection
from goodsubnet.training.losses import mean_loss

Weights = dict[str, np.ndarray]


def iterative_magnitude(
    candidates: Candidates,
    size: int,
    *,
    rounds: int,
    iterations: int,
    batch_size: int | str,
    learning_rate: float,
    seed: int,
) -> Selection:
    """Prune to `size` neurons in rounds, and train those that are left for `iterations` iterations after each.

    The sizes are N (size/N)^(r/rounds), rounded; a round begins with the weights that the one before left (fine-tuning,
    no rewinding). The subnetwork is the average of its neurons. Training is plain SGD in float32 on the processor, its
    step learning_rate times the size; the batches are those of BatchOrder for `seed`, counted on through the rounds.
    Returns the neurons that stay, ascending, with their weights; the trace has a point for the dense network and for
    each round, after its training. Raises UserError where the training diverges.
    """
    inputs, targets = (
        array if isinstance(array, np.ndarray) else array.cpu().numpy()
        for array in (candidates.inputs, candidates.targets)
    )
    width, examples = candidates.width, len(inputs)
    weights: Weights = {name: np.array(candidates.weights[name], np.float32) for name in "ab"}
    left = np.arange(width)
    sizes, passes = [width], [1.0]
    losses = [mean_loss(forward_in_blocks(weights, inputs, candidates.activation), targets, candidates.loss)]
    order, report = BatchOrder(seed, examples, batch_size), Progress("iteration", 0, rounds * iterations)
    for size_now in sizes_of(width, size, rounds):
        kept = np.sort(ranked(weights)[:size_now])
        left, weights = left[kept], {name: array[kept] for name, array in weights.items()}
        done = (len(sizes) - 1) * iterations
        seen = 0
        with np.errstate(over="ignore", invalid="ignore"):  # said below
            for iteration in range(done, done + iterations):
                batch = order.indices(iteration)
                seen += len(batch)
                slopes = gradients(weights, inputs[batch], targets[batch], candidates.activation, candidates.loss)
                for name, array in weights.items():
                    array -= np.float32(learning_rate * size_now) * slopes[name]
                report(iteration + 1)
            outputs = forward_in_blocks(weights, inputs, candidates.activation)
            losses.append(mean_loss(outputs, targets, candidates.loss))
        if not np.isfinite(losses[-1]):
            raise UserError(
                f"the training after a removal diverged: the loss is {losses[-1]} with {size_now} neurons; lower the "
                "learning_rate of the method"
            )
        sizes.append(size_now)
        passes.append(passes[-1] + size_now / width * (3 * seen / examples + 1))
    return Selection(left, np.array(losses), np.array(sizes), np.array(passes), weights=weights)


def sizes_of(width: int, size: int, rounds: int) -> list[int]:
    """The number of neurons after each round, falling by the same factor; the last is `size`."""
    return [round(width * (size / width) ** (each / rounds)) for each in range(1, rounds + 1)]


def gradients(
    weights: Mapping[str, np.ndarray], inputs: np.ndarray, targets: np.ndarray, activation: str, loss: str
) -> Weights:
    """The gradient of the mean loss of the network of these neurons, their average; in the precision of the weights."""
    a, b = weights["a"], weights["b"]
    before = inputs @ a.T
    hidden = ACTIVATIONS[activation](before)
    z = hidden @ b / len(b)
    miss = z - targets if loss == "squared" else 1 / (1 + np.exp(-z)) - targets
    miss = (miss / (len(b) * len(targets))).astype(b.dtype)
    back = DERIVATIVES[activation](before) * miss[:, None] * b
    return {"a": back.T @ inputs, "b": hidden.T @ miss}
