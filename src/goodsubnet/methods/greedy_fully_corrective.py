"""Fully-corrective forward selection: after each step the weights of all chosen neurons are optimised."""

from pydantic import Field

from goodsubnet.methods import greedy_line_search
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings import Count, NeuronMethodSettings


class Settings(NeuronMethodSettings):
    """The neuron is chosen as by `greedy_line_search`, then the weights of all that are chosen are optimised together.

    They minimise the loss over the simplex, to a duality gap of 1e-6 of the loss of an output of 0; a neuron whose
    weight becomes 0 is dropped from the subnetwork.
    """

    max_steps: Count = Field(
        2000, description="with `distinct`: stop after so many steps even with fewer neurons; one may be dropped"
    )


def select(candidates: Candidates, settings: dict, seed: int):
    return greedy_line_search.select(candidates, settings, seed, corrective=True)
