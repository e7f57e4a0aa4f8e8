"""Fully-corrective forward selection: after each step the weights of all chosen neurons are optimised."""

from typing import TYPE_CHECKING

from pydantic import Field

from goodsubnet.pruning.methods.greedy_line_search import line_search
from goodsubnet.settings import Count, NeuronMethodSettings

if TYPE_CHECKING:
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.trace import Selection


class Settings(NeuronMethodSettings):
    """The neuron is chosen as by `greedy_line_search`, then the weights of all that are chosen are optimised together.

    They minimise the loss over the simplex, to a duality gap of 1e-6 of the loss of an output of 0; a neuron whose
    weight becomes 0 is dropped from the subnetwork.
    """

    max_steps: Count = Field(
        2000, description="with `distinct`: stop after so many steps even with fewer neurons; one may be dropped"
    )


def select(candidates: "Candidates", settings: Settings, seed: int) -> "Selection":
    return line_search(candidates, settings.steps, settings.distinct, settings.max_steps, corrective=True)
