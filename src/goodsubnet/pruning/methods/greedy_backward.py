"""Greedy backward elimination: from all neurons to a few, the least needed first."""

from typing import TYPE_CHECKING

from goodsubnet.errors import UserError
from goodsubnet.runtime.progress import Progress
from goodsubnet.settings import DistinctMethodSettings, NeuronWork

if TYPE_CHECKING:
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.trace import Selection


class Settings(DistinctMethodSettings):
    """Backward elimination: starting from the dense network, remove the neuron whose removal gives the lowest loss."""

    def work(self, examples: int, inputs: int, width: int) -> NeuronWork:
        # Neurons that are left, summed over the removals.
        return NeuronWork(outputs=2, scores=(width - self.size**2 / width) / 2)


def select(candidates: "Candidates", settings: Settings, seed: int) -> "Selection":
    from goodsubnet.selection.backward import backward_elimination

    size = settings.size
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
