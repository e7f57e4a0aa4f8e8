"""When to stop pre-training: what is observed of a checkpoint, and the rules that judge it."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny, TypeAdapter, ValidationError, field_validator

from goodsubnet.runtime import plugins
from goodsubnet.settings.base import Count, Model, Name
from goodsubnet.settings.faults import explain, model_of, typed


class RuleSettings(Model):
    """Settings shared by all stopping rules; a rule's own keys are in its module, goodsubnet.stopping.rules.<rule>."""

    signal: ClassVar[str | None]
    """What it reads of an observation, by which its cost is counted; None: nothing but the iteration."""

    rule: Name = Field(description="the module of goodsubnet.stopping.rules that says when it is enough")


def rule_settings(value: object) -> RuleSettings:
    """The settings of a rule, by its name."""
    return typed("rules", "rule", value, RuleSettings)


AnyRule = Annotated[SerializeAsAny[RuleSettings], BeforeValidator(rule_settings)]
_RULE: TypeAdapter[RuleSettings] = TypeAdapter(AnyRule)

DEFAULT_RULES: dict[str, dict[str, str]] = {
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
    rules: dict[Name, AnyRule] = Field(
        default_factory=dict,
        validate_default=True,
        description="rules by name, beside the seven there are (`plateau`, `accuracy_plateau`, `certificate`, "
        "`mask_distance`, `mask_jaccard`, `weight_distance`, `fixed_share`); one of these names changes that one, null "
        "leaves it out",
    )

    @field_validator("rules", mode="before")
    @classmethod
    def _with_those_there_are(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        merged = {name: settings for name, settings in {**DEFAULT_RULES, **given}.items() if settings is not None}
        if not merged:
            raise ValueError("every rule is left out; keep one")
        return merged


def rules() -> list[str]:
    """The stopping rules there are."""
    return list(plugins.found("rules"))


def rule_model(rule: str) -> type[RuleSettings]:
    """The settings model of a rule. Raises ValueError where there is none of this name."""
    return model_of("rules", rule, RuleSettings)


def checked_rule(name: str, value: object) -> RuleSettings:
    """The settings of the rule called `name`. Raises ValueError in words."""
    try:
        return _RULE.validate_python(value)
    except ValidationError as error:
        raise ValueError("; ".join(explain(error, prefix=name))) from None
