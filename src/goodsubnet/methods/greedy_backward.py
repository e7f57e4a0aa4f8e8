"""Greedy backward elimination: from all neurons to a few, the least needed first."""

from goodsubnet.errors import UserError
from goodsubnet.jobs import Progress
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings import DistinctMethodSettings


class Settings(DistinctMethodSettings):
    """Backward elimination: from the dense network on, the neuron goes whose removal leaves the lowest loss."""


def select(candidates: Candidates, settings: dict, seed: int):
    from goodsubnet.selection.backward import backward_elimination

    size = settings["steps"] or settings["distinct"]
    try:
        return backward_elimination(
            candidates.outputs(),
            candidates.targets,
            size,
            candidates.loss,
            threads=candidates.threads,
            after_step=Progress("removal", 0, candidates.width - size),
        )
    except ValueError as error:
        raise UserError(f"the elimination failed: {error}; look at the training of this checkpoint") from None
