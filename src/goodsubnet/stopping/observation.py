"""What a stopping rule may know of one checkpoint: nothing from later ones, and nothing of the test set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from goodsubnet.data.randomness import random_generator

if TYPE_CHECKING:
    from goodsubnet.networks.two_layer import Array

NOT_FOR_DEEP = "not applicable (the bound is of greedy selection in two-layer networks)"


@dataclass(frozen=True)
class Observation:
    """One checkpoint, measured on a probe of the sub-dataset that it was trained on.

    pruned_loss, pruned_accuracy: of the subnetwork that is chosen on the probe. dense_loss, dense_accuracy: of the
    whole network. trivial_loss: of the best prediction that knows only the shares of the labels. bound: the proved one
    on the subnetwork's loss, or "not applicable (reason)". All losses are means per example. distance:
    ||theta_t - theta_0|| / ||theta_0|| over all weights, theta_0 the initial ones. chosen: rising, which of so many
    `candidates` (neurons, or channels of all prunable layers in order) the subnetwork keeps. forward_passes: what each
    signal costs, signal -> examples through the dense network, or as much arithmetic.
    """

    iteration: int
    pruned_loss: float
    pruned_accuracy: float
    dense_loss: float
    dense_accuracy: float
    trivial_loss: float
    bound: float | str
    distance: float
    chosen: list[int]
    candidates: int
    forward_passes: dict[str, float]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, object]) -> "Observation":
        # As `as_dict` gave it: each value is of its field's type.
        return cls(**cast(Mapping[str, Any], value))


def draw_probe(examples: int, probe: int, seed: int) -> np.ndarray:
    """Which of the `examples` of a sub-dataset are looked at, rising int64: the same at every checkpoint of a trial."""
    if probe >= examples:
        return np.arange(examples)
    return np.sort(random_generator("stopping probe", seed, examples).choice(examples, probe, replace=False))


def relative_distance(weights: "Mapping[str, Array]", initial: "Mapping[str, Array]") -> float:
    """||theta_t - theta_0|| / ||theta_0|| over all arrays together, in float64. Raises ValueError for other shapes."""
    moved = length = 0.0
    for name, before in initial.items():
        before = np.asarray(before, np.float64)
        after = np.asarray(weights[name], np.float64)
        if before.shape != after.shape:
            raise ValueError(f"{name} has the shape {after.shape}, and had {before.shape} at the beginning")
        moved += float(np.square(after - before).sum())
        length += float(np.square(before).sum())
    if length == 0:
        raise ValueError("the initial weights are all 0, so that no distance is relative to them")
    return (moved / length) ** 0.5
