"""The neurons with the largest weights, a common rule of thumb."""

import numpy as np

from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings import DistinctMethodSettings


class Settings(DistinctMethodSettings):
    """Ranked by |b_i| * ||a_i||, which bounds the output of neuron i on inputs of length 1; ties to the lowest."""


def select(candidates: Candidates, settings: dict, seed: int):
    from goodsubnet.selection import Selection, losses_along

    size = settings["steps"] or settings["distinct"]
    a, b = (candidates.weights[name].astype(np.float64) for name in "ab")
    neurons = np.argsort(-np.abs(b) * np.linalg.norm(a, axis=1), kind="stable")[:size]
    losses = losses_along(candidates.outputs(neurons), candidates.targets, range(size), candidates.loss)
    return Selection(neurons, losses)
