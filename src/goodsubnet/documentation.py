"""The configuration explained: tables for people and a JSON schema for editors, both from the typed settings."""

import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from goodsubnet import settings

BEGIN, END = "<!-- keys: made by `goodsubnet document` -->", "<!-- end of keys -->"

# Where in the configuration a model stands.
PLACES = {
    "Configuration": "At the top",
    "Threads": "`threads`",
    "SaveEvery": "`save_every`",
    "Mnist": "`datasets.<name>` with `source: mnist`",
    "Cifar10": "`datasets.<name>` with `source: cifar10`",
    "Digits": "`datasets.<name>` with `source: digits`",
    "Folder": "`datasets.<name>` with `source: folder`",
    "TwoLayer": "`networks.<name>` with `kind: two_layer`",
    "Deep": "`networks.<name>` with `kind: deep`",
    "MethodSettings": "`methods.<name>`, every algorithm",
    "NeuronMethodSettings": "`methods.<name>`, for two-layer networks",
    "LayerMethodSettings": "`methods.<name>`, for deep networks",
    "Experiment": "`experiments.<name>`",
    "Pretrain": "`experiments.<name>.pretrain`, two-layer networks",
    "DeepPretrain": "`experiments.<name>.pretrain`, deep networks (`loss: cross_entropy`)",
    "Finetune": "`experiments.<name>.finetune`",
    "Theory": "`theory`",
    "Stopping": "`stopping`",
    "RandomMatrices": "`random_matrices`",
    "SmallestSingularValues": "`random_matrices.smallest_singular_values`",
    "ConditionNumbers": "`random_matrices.condition_numbers`",
    "PruningTimes": "`pruning_times`",
    "LayerTimes": "`pruning_times.layers`",
    "NeuronTimes": "`pruning_times.two_layer`",
    "Figures": "`figures`",
}


def schema() -> dict[str, Any]:
    """JSON schema of the configuration; each method is checked against its algorithm's model, each rule alike."""
    whole = settings.Configuration.model_json_schema()
    models = [settings.method_model(algorithm).model_json_schema() for algorithm in settings.algorithms()]
    for algorithm, model in zip(settings.algorithms(), models, strict=True):
        model["properties"]["algorithm"] = {"const": algorithm, **model["properties"]["algorithm"]}
    whole["properties"]["methods"]["additionalProperties"] = {"anyOf": models}
    rules = [settings.rule_model(rule).model_json_schema() for rule in settings.rules()]
    for rule, model in zip(settings.rules(), rules, strict=True):
        model["properties"]["rule"] = {"const": rule, **model["properties"]["rule"]}
    stopping = whole["$defs"]["Stopping"]["properties"]
    stopping["rules"]["additionalProperties"] = {"anyOf": [*rules, {"type": "null"}]}
    return whole


def key_tables() -> str:
    """Markdown: for each key what it means, its type and range, and its default."""
    parts = []
    for name, place in PLACES.items():
        model = getattr(settings, name)
        parts.append(f"### {place}\n\n{model.__doc__.strip().splitlines()[0]}\n")
        parts.append(_table(model))
    parts.append("### The algorithms\n")
    for algorithm in settings.algorithms():
        model = settings.method_model(algorithm)
        parts.append(f"- `{algorithm}`: {model.__doc__.strip().splitlines()[0]}")
        common = {**settings.NeuronMethodSettings.model_fields, **settings.LayerMethodSettings.model_fields}
        own = [name for name in model.model_fields if name not in common]
        if own:
            parts.append(f"\n{_table(model, own)}")
    parts.append("### The stopping rules\n")
    for rule in settings.rules():
        model = settings.rule_model(rule)
        parts.append(f"- `{rule}`: {model.__doc__.strip().splitlines()[0]}")
        own = [name for name in model.model_fields if name not in settings.RuleSettings.model_fields]
        parts.append(f"\n{_table(model, own)}")
    return "\n".join(parts) + "\n"


def with_tables(page: str) -> str:
    """A page with the tables between its two marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{key_tables()}\n{END}{after}"


def _table(model: type[BaseModel], names: Iterable[str] = ()) -> str:
    lines = ["| key | what it means | values | default |", "|---|---|---|---|"]
    for name in names or model.model_fields:
        field = model.model_fields[name]
        cells = [f"`{name}`", field.description or "", _values(field.annotation, field.metadata), _default(field)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        return "as below"
    return "none" if field.default is None else f"`{field.default}`".replace("True", "true")


def _values(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """A type and its range in words."""
    limits = [text for item in metadata for text in _limits(item)]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], [*arguments[1:], *metadata])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_values(part) for part in arguments if part is not type(None))
    if origin is list:
        return "list of " + _values(arguments[0]).replace("a whole number", "whole numbers").replace("a name", "names")
    if origin is dict:
        return "named entries"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        short = {
            settings.EveryCheckpoint: "`{every: n}`",
            settings.StableFraction: "`{stable_fraction: s}`",
            settings.Crop: "`{padding: p, flip: true}`",
            settings.ResizedCrop: "`{scale: [s, l], flip: true}`",
        }
        return short.get(annotation, "keys, see below")
    words = {int: "a whole number", float: "a number", str: "text", bool: "`true` or `false`"}.get(annotation, "keys")
    if annotation is str and any("pattern" in repr(item) for item in metadata):
        words = "a name"
    return " ".join([words, *limits])


def _limits(item: Any) -> list[str]:
    """A constraint in words."""
    if isinstance(item, FieldInfo):
        return [text for part in item.metadata for text in _limits(part)]
    signs = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    return [f"{words} {getattr(item, sign)}" for sign, words in signs.items() if getattr(item, sign, None) is not None]
