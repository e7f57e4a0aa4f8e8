"""The function of a stage for a kind of network, found by name: what one kind runs is not tied to another's code."""

from typing import Literal, overload

from goodsubnet.runtime import plugins
from goodsubnet.stages.contract import Adopt, Compute, Evaluate, Observe, Pretrain, Prune


@overload
def stage_of(kind: str, stage: Literal["pretrain"]) -> Pretrain: ...
@overload
def stage_of(kind: str, stage: Literal["adopt"]) -> Adopt: ...
@overload
def stage_of(kind: str, stage: Literal["prune"]) -> Prune: ...
@overload
def stage_of(kind: str, stage: Literal["calibrate", "pruning_times"]) -> Compute: ...
@overload
def stage_of(kind: str, stage: Literal["evaluate"]) -> Evaluate: ...
@overload
def stage_of(kind: str, stage: Literal["observe"]) -> Observe: ...


def stage_of(kind: str, stage: str) -> object:
    """kind: "two_layer" or "deep"."""
    return getattr(plugins.load_module(f"stages.{kind}.{stage}"), stage)
