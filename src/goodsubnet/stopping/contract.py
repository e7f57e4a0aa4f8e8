"""What a stopping rule is given, and what it answers: the contract of the modules in `stopping.rules`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from goodsubnet.runtime import plugins
from goodsubnet.settings.stopping import RuleSettings
from goodsubnet.stopping.observation import Observation

R = TypeVar("R", bound=RuleSettings)


@dataclass(frozen=True)
class Answer:
    """What a rule says at a checkpoint: whether it is enough, and why, in words.

    applicable: False where the rule says nothing about this kind of network; then it is never enough.
    """

    enough: bool
    why: str
    applicable: bool = True


class Rule(Protocol[R]):
    """A rule that says when to stop."""

    @property
    def Settings(self) -> type[R]:
        """Its keys, and by `signal` what it reads of an observation: a key of `Observation.forward_passes`, or None."""

    def decide(self, observations: Sequence[Observation], settings: R, total: int | None) -> Answer:
        """Whether the last checkpoint is enough.

        observations: those so far, in order, at least one. total: planned iterations, or None where it is not known.
        """


def rule_of(settings: RuleSettings) -> Rule[RuleSettings]:
    """The rule that the settings belong to."""
    return cast(Rule[RuleSettings], plugins.load("rules", settings.rule))
