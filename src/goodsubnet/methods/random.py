"""Neurons drawn at random: what a selection must beat."""

from goodsubnet.data.randomness import random_generator
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings import DistinctMethodSettings


class Settings(DistinctMethodSettings):
    """Uniform without replacement, a function of the seed; the same neurons at every checkpoint."""


def select(candidates: Candidates, settings: dict, seed: int):
    from goodsubnet.selection import Selection, losses_along
    from goodsubnet.selection.trace import one_by_one

    size = settings["steps"] or settings["distinct"]
    neurons = random_generator("random selection", seed).permutation(candidates.width)[:size]
    losses = losses_along(candidates.outputs(neurons), candidates.targets, range(size), candidates.loss)
    return Selection(neurons, losses, *one_by_one(size, candidates.width))
