"""The neurons with the largest weights, a common rule of thumb."""

from typing import TYPE_CHECKING

from goodsubnet.settings import DistinctMethodSettings, NeuronWork

if TYPE_CHECKING:
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.trace import Selection


class Settings(DistinctMethodSettings):
    """Ranked by |b_i| * ||a_i||, which bounds the output of neuron i on inputs of length 1; ties to the lowest."""

    def work(self, examples: int, inputs: int, width: int) -> NeuronWork:
        return NeuronWork()


def select(candidates: "Candidates", settings: Settings, seed: int) -> "Selection":
    from goodsubnet.selection.losses import losses_along
    from goodsubnet.selection.magnitude import ranked
    from goodsubnet.selection.trace import Selection, one_by_one

    size = settings.size
    neurons = ranked(candidates.weights)[:size]
    losses = losses_along(candidates.outputs(neurons), candidates.targets, range(size), candidates.loss)
    return Selection(neurons, losses, *one_by_one(size, candidates.width))
