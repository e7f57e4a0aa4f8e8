"""Enough at a share of the planned iterations, whatever is seen: what every other rule must beat."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from goodsubnet.errors import UserError
from goodsubnet.settings import RuleSettings
from goodsubnet.stopping.contract import Answer
from goodsubnet.stopping.observation import Observation


class Settings(RuleSettings):
    """The first checkpoint at or after a share of the planned iterations."""

    signal = None

    share: Annotated[float, Field(ge=0, le=1)] = Field(0.5, description="of the planned iterations")


def decide(observations: Sequence[Observation], settings: Settings, total: int | None) -> Answer:
    if total is None:
        raise UserError("fixed_share needs the planned iterations: give total")
    now, share = observations[-1].iteration, settings.share
    done = now >= share * total
    return Answer(done, f"{now:,} of {total:,} planned iterations, {share:.0%} {'were' if done else 'are'} asked for")
