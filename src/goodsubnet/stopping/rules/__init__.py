"""Stopping rules: a module each, with `Settings` and `decide`. A new rule is a new file here.

Settings: a model derived from goodsubnet.settings.RuleSettings; it says what keys the rule has, and by `signal` what
it reads of an observation (a key of `Observation.forward_passes`), or None.
decide(observations, settings, total) -> Answer: whether the last checkpoint is enough. observations: those so far, in
order, at least one. settings: of the rule, as a dictionary. total: planned iterations, or None where it is not known.
The module is imported while the workflow is parsed, so what is slow to import is imported inside `decide`.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Answer:
    """What a rule says at a checkpoint: whether it is enough, and why, in words.

    applicable: False where the rule says nothing of this kind of network; then it is never enough.
    """

    enough: bool
    why: str
    applicable: bool = True


def load_rule(rule: str) -> ModuleType:
    """The module of a rule. Raises ModuleNotFoundError if there is none of this name."""
    return importlib.import_module(f"{__name__}.{rule}")
