"""Enough once the theory proves, from the dense network alone, that its subnetwork is good."""

from collections.abc import Sequence

from pydantic import Field

from goodsubnet.settings import Positive, RuleSettings
from goodsubnet.stopping.contract import Answer
from goodsubnet.stopping.observation import Observation


class Settings(RuleSettings):
    """The proved bound on the subnetwork's loss is below the trivial loss, and near the dense network's loss."""

    signal = "bound"

    margin: Positive = Field(
        0.1, description="share of the trivial predictor's loss by which the bound may exceed the dense network's loss"
    )


def decide(observations: Sequence[Observation], settings: Settings, total: int | None) -> Answer:
    from goodsubnet.theory.bounds import certified

    now = observations[-1]
    if not isinstance(now.bound, float):
        return Answer(False, str(now.bound), applicable=False)
    allowed = now.dense_loss + settings.margin * now.trivial_loss
    if certified(now.bound, now.dense_loss, now.trivial_loss, settings.margin):
        return Answer(
            True, f"a subnetwork's loss of at most {now.bound:.4g} is proved, and {allowed:.4g} was asked for"
        )
    if now.bound >= now.trivial_loss:
        return Answer(False, f"the bound, {now.bound:.4g}, is above the trivial loss, {now.trivial_loss:.4g}")
    return Answer(False, f"the bound, {now.bound:.4g}, is above {allowed:.4g}")
