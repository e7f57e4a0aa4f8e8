"""When to stop pre-training: what is observed of a checkpoint, and the rules that judge it."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError, field_validator

from goodsubnet.settings.base import Count, Model, Name
from goodsubnet.settings.faults import explain


class RuleSettings(Model):
    """What every stopping rule is told; a rule's own keys are in its module, goodsubnet.stopping.rules.<rule>."""

    signal: ClassVar[str | None]
    """What it reads of an observation, by which its cost is counted; None: nothing but the iteration."""

    rule: Name = Field(description="the module of goodsubnet.stopping.rules that says when it is enough")


DEFAULT_RULES: dict[str, dict[str, Any]] = {
    "plateau": {"rule": "plateau"},
    "accuracy_plateau": {"rule": "accuracy_plateau"},
    "certificate": {"rule": "certificate"},
    "mask_distance": {"rule": "mask_distance"},
    "mask_jaccard": {"rule": "mask_distance", "measure": "jaccard"},
    "weight_distance": {"rule": "weight_distance"},
    "fixed_share": {"rule": "fixed_share"},
}


class Stopping(Model):
    """When to stop: rules that see the checkpoints in order, scored on every experiment with three or more of them."""

    probe: Count = Field(
        1024, description="images of the sub-dataset that a checkpoint is observed on; all, where there are fewer"
    )
    steps: Count | None = Field(
        None,
        description="selection steps on the probe, of two-layer networks; null: as the experiment's first greedy "
        "method selects, or as many as its first method chooses",
    )
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="of each layer's channels that stay, those of the largest weights, of deep networks"
    )
    rules: dict[Name, Any] = Field(
        default_factory=dict,
        validate_default=True,
        description="rules by name, beside the seven there are (`plateau`, `accuracy_plateau`, `certificate`, "
        "`mask_distance`, `mask_jaccard`, `weight_distance`, `fixed_share`); one of these names changes that one, null "
        "leaves it out",
    )

    @field_validator("rules")
    @classmethod
    def _typed_rules(cls, given: dict[str, Any]) -> dict[str, RuleSettings]:
        merged = {name: settings for name, settings in {**DEFAULT_RULES, **given}.items() if settings is not None}
        if not merged:
            raise ValueError("every rule is left out; keep one")
        return {name: rule_settings(name, settings) for name, settings in merged.items()}


def rules() -> list[str]:
    """The stopping rules there are: a module of goodsubnet.stopping.rules each."""
    from goodsubnet.stopping import rules as package

    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def rule_model(rule: str) -> type[RuleSettings]:
    """The settings model of a rule."""
    if rule not in rules():
        raise ValueError(f"rule {rule!r} is not one of {', '.join(rules())}")
    return importlib.import_module(f"goodsubnet.stopping.rules.{rule}").Settings


def rule_settings(name: str, settings: Any) -> RuleSettings:
    """The typed settings of the rule called `name`. Raises ValueError in words."""
    if isinstance(settings, RuleSettings):
        return settings
    if not isinstance(settings, Mapping) or not isinstance(settings.get("rule"), str):
        raise ValueError(f"{name}: needs the key rule, one of {', '.join(rules())}")
    try:
        return rule_model(settings["rule"]).model_validate(settings)
    except ValidationError as error:
        raise ValueError("; ".join(explain(error, prefix=name))) from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
