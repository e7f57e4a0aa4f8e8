"""Greedy forward selection with a step size by line search: a weighted average of the chosen neurons."""

from typing import TYPE_CHECKING

from pydantic import Field

from goodsubnet.errors import UserError
from goodsubnet.runtime.progress import Progress
from goodsubnet.settings import Count, NeuronMethodSettings

if TYPE_CHECKING:
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.trace import Selection


class Settings(NeuronMethodSettings):
    """A step goes from the output z to (1 - g) z + g phi: neuron phi and g in [0, 1] lower the loss most.

    Squared loss: neuron and g minimise it together. Logistic: the neuron has the largest decrease that is guaranteed
    (by the quadratic upper model of curvature 1/4), then g is the exact minimum along the line.
    """

    max_steps: Count = Field(
        2000, description="with `distinct`: stop after so many steps even with fewer neurons; one may come again"
    )


def select(candidates: "Candidates", settings: Settings, seed: int) -> "Selection":
    return line_search(candidates, settings.steps, settings.distinct, settings.max_steps)


def line_search(
    candidates: "Candidates", steps: int | None, distinct: int | None, max_steps: int, corrective: bool = False
) -> "Selection":
    """As `selection.convex.convex_selection`; corrective: the weights of all chosen neurons are optimised after a step.

    Raises UserError where an output is not a number.
    """
    from goodsubnet.selection.convex import convex_selection

    try:
        return convex_selection(
            candidates.outputs(),
            candidates.targets,
            steps,
            candidates.loss,
            distinct=distinct,
            max_steps=max_steps,
            corrective=corrective,
            threads=candidates.threads,
            after_step=Progress("step", 0, steps or max_steps),
        )
    except ValueError as error:
        raise UserError(f"the selection failed: {error}; look at the training of this checkpoint") from None
