"""Enough once the subnetwork's accuracy does not rise any more by what matters."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from goodsubnet.settings import Count, RuleSettings
from goodsubnet.stopping.contract import Answer
from goodsubnet.stopping.observation import Observation


class Settings(RuleSettings):
    """The subnetwork's accuracy on the probe is at most `margin` above its best before the last `patience` checkpoints.

    The loss still falls long after the accuracy has stopped rising; this asks for what `answer.margin` asks for.
    """

    signal = "pruned_loss"

    patience: Count = Field(2, description="checkpoints over which the accuracy rose no more than that")
    margin: Annotated[float, Field(ge=0, lt=1)] = Field(0.01, description="of accuracy, in [0, 1]")


def decide(observations: Sequence[Observation], settings: Settings, total: int | None) -> Answer:
    patience, margin = settings.patience, settings.margin
    if len(observations) <= patience:
        return Answer(False, f"{len(observations)} of {patience + 1} checkpoints")
    accuracies = [seen.pruned_accuracy for seen in observations]
    rise = max(accuracies[-patience:]) - max(accuracies[:-patience])
    # Counts over the probe's length: a rise of just the margin is not above it by a rounding.
    enough = round(rise - margin, 9) <= 0
    words = f"the subnetwork's accuracy rose by {max(rise, 0):.2g} over the last {patience} checkpoints"
    return Answer(enough, f"{words}, {'not more' if enough else 'more'} than {margin:g}")
