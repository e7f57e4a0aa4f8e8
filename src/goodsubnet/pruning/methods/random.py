"""Neurons drawn at random: what a selection must beat."""

from typing import TYPE_CHECKING

from goodsubnet.data.randomness import random_generator
from goodsubnet.settings import DistinctMethodSettings, NeuronWork

if TYPE_CHECKING:
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.trace import Selection


class Settings(DistinctMethodSettings):
    """Uniform without replacement, a function of the seed; the same neurons at every checkpoint."""

    def work(self, examples: int, inputs: int, width: int) -> NeuronWork:
        return NeuronWork()


def select(candidates: "Candidates", settings: Settings, seed: int) -> "Selection":
    from goodsubnet.selection.losses import losses_along
    from goodsubnet.selection.trace import Selection, one_by_one

    size = settings.size
    neurons = random_generator("random selection", seed).permutation(candidates.width)[:size]
    losses = losses_along(candidates.outputs(neurons), candidates.targets, range(size), candidates.loss)
    return Selection(neurons, losses, *one_by_one(size, candidates.width))
