"""Iterative magnitude pruning: some neurons are removed, the others are trained further, and so on."""

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from goodsubnet.data.randomness import random_generator
from goodsubnet.settings import Count, DistinctMethodSettings, NeuronWork, Positive

if TYPE_CHECKING:
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.trace import Selection


class Settings(DistinctMethodSettings):
    """In each round, the neurons of smallest |b_i| * ||a_i|| are removed and the others fine-tuned, without rewinding.

    The variant of Han et al. (NeurIPS 2015): a round goes on from the weights of the one before. The sizes fall
    geometrically. The subnetwork has the trained weights; those of other methods have the checkpoint's.
    """

    rounds: Count = Field(5, description="rounds of removing and training")
    iterations: Count = Field(100, description="training after each removal, in iterations (a batch each)")
    batch_size: Count | Literal["full"] = Field(128, description="images in a batch, or `full`")
    learning_rate: Positive = Field(
        0.05, description="of that training, plain SGD; multiplied by the size, `per_neuron`"
    )

    def work(self, examples: int, inputs: int, width: int) -> NeuronWork:
        rows = examples if self.batch_size == "full" else min(self.batch_size, examples)
        # Sizes that fall by the same factor from the width to the size, about the mean of a logarithm.
        mean = (width - self.size) / max(1e-9, math.log(width / self.size)) if width > self.size else float(width)
        training = 3 * rows * self.rounds * self.iterations * 2 * inputs * mean
        # With their gradients and what is in between.
        return NeuronWork(training=training, weights=6)


def select(candidates: "Candidates", settings: Settings, seed: int) -> "Selection":
    from goodsubnet.selection.iterative import iterative_magnitude

    return iterative_magnitude(
        candidates,
        settings.size,
        rounds=settings.rounds,
        iterations=settings.iterations,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=int(random_generator("iterative magnitude pruning", seed).integers(2**63)),
    )
