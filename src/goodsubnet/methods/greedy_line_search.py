"""Greedy forward selection with a step size by line search: a weighted average of the chosen neurons."""

from pydantic import Field

from goodsubnet.errors import UserError
from goodsubnet.jobs import Progress
from goodsubnet.selection.candidates import Candidates
from goodsubnet.settings import Count, NeuronMethodSettings


class Settings(NeuronMethodSettings):
    """A step goes from the output z to (1 - g) z + g phi: neuron phi and g in [0, 1] lower the loss most.

    Squared loss: neuron and g minimise it together. Logistic: the neuron has the largest decrease that is guaranteed
    (by the quadratic upper model of curvature 1/4), then g is the exact minimum along the line.
    """

    max_steps: Count = Field(
        2000, description="with `distinct`: stop after so many steps even with fewer neurons; one may come again"
    )


def select(candidates: Candidates, settings: dict, seed: int, corrective: bool = False):
    from goodsubnet.selection.convex import convex_selection

    try:
        return convex_selection(
            candidates.outputs(),
            candidates.targets,
            settings["steps"],
            candidates.loss,
            distinct=settings["distinct"],
            max_steps=settings["max_steps"],
            corrective=corrective,
            threads=candidates.threads,
            after_step=Progress("step", 0, settings["steps"] or settings["max_steps"]),
        )
    except ValueError as error:
        raise UserError(f"the selection failed: {error}; look at the training of this checkpoint") from None
