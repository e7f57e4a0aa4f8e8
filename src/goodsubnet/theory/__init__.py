"""The theory of the paper, computed: the terms of its bounds, the bounds, and the laws of the threshold.

Losses and their terms may be sums over the examples or means, as long as all in one formula are of the same kind: every
bound is linear in them. A quantity that is not defined is `NotApplicable`, with the reason, never a number.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class NotApplicable:
    """What a formula returns where it makes no statement. Written out it is text, which no table takes for a number."""

    reason: str

    def __str__(self) -> str:
        return f"not applicable ({self.reason})"
