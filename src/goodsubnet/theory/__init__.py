"""The theory of the paper, computed: the terms of its bounds, the bounds, and the laws of the threshold.

Losses and their terms may be sums over the examples or means, as long as all of one formula are the same: every bound
is linear in them. A quantity that is not defined is `NotApplicable`, with the reason, never a number.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class NotApplicable:
    """What a formula answers where it says nothing. Written out it is text, so that no table takes it for a number."""

    reason: str

    def __str__(self) -> str:
        return f"not applicable ({self.reason})"
