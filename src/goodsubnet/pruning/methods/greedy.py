"""Greedy forward selection (Algorithm 1, with several workers Algorithm 2), with replacement."""

from typing import TYPE_CHECKING, TypedDict

from pydantic import Field

from goodsubnet.errors import UserError
from goodsubnet.runtime.group import ALONE
from goodsubnet.runtime.progress import Progress
from goodsubnet.settings import Count, Distributed, NeuronMethodSettings

if TYPE_CHECKING:
    from goodsubnet.runtime.group import Alone, Workers
    from goodsubnet.selection.candidates import Candidates
    from goodsubnet.selection.trace import Selection

    class _Together(TypedDict, total=False):
        workers: Workers | Alone
        neurons: range


class Settings(Distributed, NeuronMethodSettings):
    """Algorithm 1: at each step the neuron that lowers the loss of the average most; one may come again."""

    max_steps: Count = Field(
        2000,
        description="with `distinct`: stop after so many steps even with fewer neurons, as at initialisation, "
        "where the same few come again and again; the column `distinct` tells how many",
    )


def select(candidates: "Candidates", settings: Settings, seed: int) -> "Selection":
    from goodsubnet.selection.forward import greedy_forward_selection

    together: _Together = (
        {} if candidates.workers is ALONE else {"workers": candidates.workers, "neurons": candidates.share}
    )
    try:
        return greedy_forward_selection(
            candidates.outputs(),
            candidates.targets,
            settings.steps,
            candidates.loss,
            distinct=settings.distinct,
            max_steps=settings.max_steps,
            threads=candidates.threads,
            after_step=Progress("step", 0, settings.steps or settings.max_steps),
            **together,
        )
    except ValueError as error:
        raise UserError(f"the selection failed: {error}; look at the training of this checkpoint") from None
