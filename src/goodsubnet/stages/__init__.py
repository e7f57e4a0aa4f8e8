"""What the stages of the chain compute, for each kind of network: a folder a kind, in it a module a stage.

A stage's module has a function of the stage's name; it is given the job, whose inputs are verified, and returns what
the script is to store. It is found by name, so that what one kind of network runs does not hang on another's code.
"""

import importlib
from collections.abc import Callable


def stage_of(kind: str, stage: str) -> Callable:
    """The function of a stage for a kind of network: "two_layer" or "deep"."""
    return getattr(importlib.import_module(f"{__name__}.{kind}.{stage}"), stage)
