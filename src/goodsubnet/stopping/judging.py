"""A rule over the checkpoints of one training, in order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from goodsubnet.settings.stopping import RuleSettings
from goodsubnet.stopping.contract import Answer, rule_of
from goodsubnet.stopping.observation import Observation


@dataclass(frozen=True)
class Judgement:
    """What is said at a checkpoint: is it enough, why, and what the subnetwork and the dense network achieve now.

    accuracy, loss: of the subnetwork that was chosen on the probe, dense_accuracy, dense_loss: of the whole network,
    all on the probe; losses are means per example.
    """

    iteration: int
    enough: bool
    why: str
    accuracy: float
    loss: float
    dense_accuracy: float
    dense_loss: float

    def __str__(self) -> str:
        return (
            f"iteration {self.iteration:,}: {'enough' if self.enough else 'go on'} ({self.why}); the subnetwork has "
            f"accuracy {self.accuracy:.4f}, loss {self.loss:.4g}, the dense network {self.dense_accuracy:.4f}, "
            f"{self.dense_loss:.4g}"
        )


class Judge:
    """Remembers what was observed, and asks a rule. rule: its settings; total: planned iterations, if known."""

    def __init__(self, rule: RuleSettings, total: int | None) -> None:
        self.rule, self.total = rule, total
        self.observations: list[Observation] = []

    def __call__(self, seen: Observation) -> Judgement:
        """Raises ValueError for a checkpoint that is not later than the one before."""
        if self.observations and seen.iteration <= self.observations[-1].iteration:
            raise ValueError(
                f"iteration {seen.iteration} comes after iteration {self.observations[-1].iteration}; give checkpoints "
                "in order"
            )
        self.observations.append(seen)
        answer = rule_of(self.rule).decide(self.observations, self.rule, self.total)
        measured = (seen.pruned_accuracy, seen.pruned_loss, seen.dense_accuracy, seen.dense_loss)
        return Judgement(seen.iteration, answer.enough, answer.why, *measured)


def answers(observations: Iterable[Observation], rule: RuleSettings, total: int | None) -> Iterator[Answer]:
    """What a rule says at each checkpoint, from that and the earlier ones alone."""
    so_far: list[Observation] = []
    for seen in observations:
        so_far.append(seen)
        yield rule_of(rule).decide(tuple(so_far), rule, total)
