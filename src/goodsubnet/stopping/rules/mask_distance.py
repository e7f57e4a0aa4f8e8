"""Enough once the same neurons or channels are chosen again and again (Early-Bird tickets).

Source: You et al., Drawing Early-Bird Tickets (ICLR 2020, arXiv 1909.11957): prune at each epoch, keep the last five
masks, and stop when the Hamming distance of the last one to each of the others is below 0.1 of the mask's length.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from goodsubnet.settings import RuleSettings
from goodsubnet.stopping.contract import Answer
from goodsubnet.stopping.observation import Observation


class Settings(RuleSettings):
    """The distance of the last mask to each of those before it, in a window of checkpoints, is below a threshold."""

    signal = "chosen"

    window: Annotated[int, Field(ge=2, strict=True)] = Field(
        3, description="masks that must be alike; Early-Bird has 5"
    )
    threshold: Annotated[float, Field(gt=0)] = Field(
        0.2, description="of the distance; Early-Bird's 0.1 of `hamming` is 0.2 of `corrected` where half is kept"
    )
    measure: Literal["corrected", "hamming", "jaccard"] = Field(
        "corrected",
        description="`hamming`, the share of the mask that differs; `corrected`, that over what it is for masks as "
        "dense as these that have nothing in common but chance; `jaccard`, the share of what either chooses that not "
        "both do",
    )


def decide(observations: Sequence[Observation], settings: Settings, total: int | None) -> Answer:
    from goodsubnet.stopping.masks import DISTANCES

    window, threshold = settings.window, settings.threshold
    if len(observations) < window:
        return Answer(False, f"{len(observations)} of {window} masks")
    *before, now = observations[-window:]
    distance = DISTANCES[settings.measure]
    farthest = max(distance(now.chosen, seen.chosen, now.candidates) for seen in before)
    words = f"the last {window} masks differ by up to {farthest:.3g} ({settings.measure})"
    return Answer(farthest < threshold, f"{words}, {'below' if farthest < threshold else 'not below'} {threshold:g}")
