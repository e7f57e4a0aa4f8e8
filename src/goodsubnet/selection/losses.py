"""The two losses in float64, and the one rule by which equal or nearly equal candidates are told apart."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from goodsubnet.training.losses import mean_loss, softplus

if TYPE_CHECKING:
    from goodsubnet.networks.two_layer import Array

LOSSES = ("squared", "logistic")


def canonical_score(phi: np.ndarray, total: np.ndarray, targets: np.ndarray, step: int, loss: str) -> float:
    """The score by which candidates closer than the bounds can tell are ordered; lower is better.

    phi: (examples,) the candidate's outputs; total: (examples,) u_{k-1}, the sum of the columns chosen so far;
    step: k. Squared: sum phi (2u - 2ky + phi), which is 2 k^2 times the change of the summed loss. Logistic: the
    summed loss at (u + phi)/k. Terms in float64, their sum exact (math.fsum): so it hangs neither on the order of the
    examples nor on vector widths, and integer outputs that tie in truth tie here.
    """
    phi, total = np.asarray(phi, np.float64), np.asarray(total, np.float64)
    if loss == "squared":
        return math.fsum((phi * (2 * total - 2 * step * targets + phi)).tolist())
    z = (total + phi) / step
    try:
        return math.fsum(softplus(np.where(targets > 0, -z, z)).tolist())
    except OverflowError:
        return math.inf


def decide(
    column: Callable[[int], np.ndarray],
    neurons: Iterable[int],
    total: np.ndarray,
    targets: np.ndarray,
    step: int,
    loss: str,
) -> tuple[int, float]:
    """The best of a few candidates, by `canonical_score`, ties to the lowest index; and its score.

    column: function from a neuron to its (examples,) outputs. neurons: indices of the candidates, at least one, in
    any order. Identical columns are scored once. Of several workers each decides over its own neurons, and the smallest
    (score, neuron) pair wins: the same neuron as over all of them.
    """
    scores: dict[bytes, float] = {}
    best: tuple[int, float] | None = None
    for neuron in sorted(int(n) for n in neurons):
        phi = np.asarray(column(neuron), np.float64) + 0.0  # -0.0 becomes 0.0, which has other bytes
        key = phi.tobytes()
        if key in scores:
            continue
        scores[key] = canonical_score(phi, total, targets, step, loss)
        if best is None or scores[key] < best[1]:
            best = neuron, scores[key]
    return cast(tuple[int, float], best)


def losses_along(outputs: "Array", targets: "Array", neurons: "Sequence[int] | np.ndarray", loss: str) -> np.ndarray:
    """Mean loss of the average of the first 1, 2, ... of `neurons`, recomputed in float64.

    outputs: (examples, neurons) numpy or torch, targets: (examples,), neurons: indices in order, repeats allowed.
    Returns (len(neurons),) float64.
    """
    targets = np.asarray(targets, np.float64)
    total = np.zeros(len(targets))
    losses = np.empty(len(neurons))
    for k, neuron in enumerate(neurons, start=1):
        column = outputs[:, int(neuron)]
        total += np.asarray(column.cpu() if hasattr(column, "cpu") else column, np.float64)
        losses[k - 1] = mean_loss(total / k, targets, loss)
    return losses
