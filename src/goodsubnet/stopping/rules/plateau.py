"""Enough once the subnetwork's loss does not fall any more."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from goodsubnet.settings import Count, RuleSettings
from goodsubnet.stopping.contract import Answer
from goodsubnet.stopping.observation import Observation


class Settings(RuleSettings):
    """The subnetwork's loss on the probe is no better than its best by `improvement`, for `patience` checkpoints."""

    signal = "pruned_loss"

    patience: Count = Field(2, description="checkpoints in a row without an improvement")
    improvement: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="share of the lowest loss so far by which a checkpoint must be lower to count as one"
    )


def decide(observations: Sequence[Observation], settings: Settings, total: int | None) -> Answer:
    best, since = observations[0], 0
    for seen in observations[1:]:
        if seen.pruned_loss < best.pruned_loss * (1 - settings.improvement):
            best, since = seen, 0
        else:
            since += 1
    if since >= settings.patience:
        return Answer(
            True,
            f"the subnetwork's loss has not fallen by {settings.improvement:.0%} for {since} checkpoints: it was "
            f"{best.pruned_loss:.4g} at iteration {best.iteration:,}",
        )
    if since:
        return Answer(False, f"no improvement for {since} of {settings.patience} checkpoints")
    if len(observations) == 1:
        return Answer(False, "the first checkpoint")
    return Answer(False, f"the subnetwork's loss still falls: {best.pruned_loss:.4g}")
