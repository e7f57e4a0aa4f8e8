"""The neurons with the largest weights, a common rule of thumb."""

from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings import DistinctMethodSettings


class Settings(DistinctMethodSettings):
    """Ranked by |b_i| * ||a_i||, which bounds the output of neuron i on inputs of length 1; ties to the lowest."""


def select(candidates: Candidates, settings: dict, seed: int):
    from goodsubnet.selection import Selection, losses_along
    from goodsubnet.selection.magnitude import ranked
    from goodsubnet.selection.trace import one_by_one

    size = settings["steps"] or settings["distinct"]
    neurons = ranked(candidates.weights)[:size]
    losses = losses_along(candidates.outputs(neurons), candidates.targets, range(size), candidates.loss)
    return Selection(neurons, losses, *one_by_one(size, candidates.width))
