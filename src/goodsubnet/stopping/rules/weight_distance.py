"""Enough once the weights drift away from where they began only slowly (EarlyCroP).

Source: Rachwan et al., Winning the Lottery Ahead of Time (ICML 2022, arXiv 2206.10451): prune when the relative
distance of the weights from initialisation, ||theta_t - theta_0|| / ||theta_0||, changes little between epochs. Here
the checkpoints may lie unevenly, so the change is per iteration.
"""

import itertools
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from goodsubnet.settings import RuleSettings
from goodsubnet.stopping.contract import Answer
from goodsubnet.stopping.observation import Observation


class Settings(RuleSettings):
    """Per iteration, the relative distance from initialisation changes by a small part of its first change."""

    signal = "distance"

    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="that part")


def decide(observations: Sequence[Observation], settings: Settings, total: int | None) -> Answer:
    changes = [
        abs(now.distance - before.distance) / (now.iteration - before.iteration)
        for before, now in itertools.pairwise(observations)
    ]
    if len(changes) < 2:
        return Answer(False, f"{len(observations)} of 3 checkpoints")
    if changes[0] == 0:
        return Answer(False, "the weights did not move between the first two checkpoints")
    ratio, threshold = changes[-1] / changes[0], settings.threshold
    words = f"the weights drift from initialisation at {ratio:.3g} of their first pace"
    return Answer(ratio < threshold, f"{words}, {'below' if ratio < threshold else 'not below'} {threshold:g}")
