"""The configuration explained: tables for people and a JSON schema for editors, both from the typed settings."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from goodsubnet.runtime import plugins
from goodsubnet.runtime.artifacts import Json
from goodsubnet.settings.answer import AnswerSettings
from goodsubnet.settings.base import Model
from goodsubnet.settings.configuration import BASES, Configuration, Experiment, SaveEvery, Threads
from goodsubnet.settings.faults import model_of
from goodsubnet.settings.figures import Figures
from goodsubnet.settings.methods import LayerMethodSettings, MethodSettings, NeuronMethodSettings
from goodsubnet.settings.networks import DeepNetworkSettings, NamedNetworkSettings, NetworkSettings, TwoLayer
from goodsubnet.settings.pruning_times import LayerTimes, NeuronTimes, PruningTimes
from goodsubnet.settings.stopping import Stopping
from goodsubnet.settings.theory import ConditionNumbers, RandomMatrices, SmallestSingularValues, Theory
from goodsubnet.settings.training import (
    Crop,
    DeepPretrain,
    EveryCheckpoint,
    Finetune,
    Pretrain,
    ResizedCrop,
    StableFraction,
)

BEGIN, END = "<!-- keys: made by `goodsubnet document` -->", "<!-- end of keys -->"

# Where in the configuration a model stands.
BEFORE: dict[type[BaseModel], str] = {
    Configuration: "At the top",
    Threads: "`threads`",
    SaveEvery: "`save_every`",
}
NETWORKS: dict[type[BaseModel], str] = {
    TwoLayer: "`networks.<name>` with `kind: two_layer`",
    DeepNetworkSettings: "`networks.<name>` with `kind: deep`",
    NamedNetworkSettings: "`networks.<name>` with `kind: deep` and `architecture`",
}
METHODS: dict[type[BaseModel], str] = {
    MethodSettings: "`methods.<name>`, every algorithm",
    NeuronMethodSettings: "`methods.<name>`, for two-layer networks",
    LayerMethodSettings: "`methods.<name>`, for deep networks",
}
AFTER: dict[type[BaseModel], str] = {
    Experiment: "`experiments.<name>`",
    Pretrain: "`experiments.<name>.pretrain`, two-layer networks",
    DeepPretrain: "`experiments.<name>.pretrain`, deep networks (`loss: cross_entropy`)",
    Finetune: "`experiments.<name>.finetune`",
    Theory: "`theory`",
    AnswerSettings: "`answer`",
    Stopping: "`stopping`",
    RandomMatrices: "`random_matrices`",
    SmallestSingularValues: "`random_matrices.smallest_singular_values`",
    ConditionNumbers: "`random_matrices.condition_numbers`",
    PruningTimes: "`pruning_times`",
    LayerTimes: "`pruning_times.layers`",
    NeuronTimes: "`pruning_times.two_layer`",
    Figures: "`figures`",
}
# Kind of plug-in -> the heading of their list.
HEADINGS = {
    "sources": "The sources of data",
    "architectures": "The architectures of deep networks",
    "methods": "The algorithms",
    "rules": "The stopping rules",
}


def models_of(kind: str) -> dict[str, type[Model]]:
    """The settings models of the plug-ins of a kind, by name."""
    return {name: model_of(kind, name, BASES[kind]) for name in plugins.found(kind)}


def schema() -> dict[str, Json]:
    """JSON schema of the configuration; what is typed by a plug-in is checked against that one's model."""
    whole: dict[str, Any] = Configuration.model_json_schema()
    entries: dict[str, list[Json]] = {}
    for kind, key in (("sources", "source"), ("methods", "algorithm"), ("rules", "rule"), ("architectures", "")):
        entries[kind] = []
        for name, model in models_of(kind).items():
            each = model.model_json_schema()
            if key:
                each["properties"][key] = {"const": name, **each["properties"][key]}
            entries[kind].append(each)
    entries["architectures"].append(TwoLayer.model_json_schema())
    for place, kind in (("datasets", "sources"), ("networks", "architectures"), ("methods", "methods")):
        whole["properties"][place]["additionalProperties"] = {"anyOf": entries[kind]}
    stopping = whole["$defs"]["Stopping"]["properties"]
    stopping["rules"]["additionalProperties"] = {"anyOf": [*entries["rules"], {"type": "null"}]}
    return whole


def key_tables() -> str:
    """Markdown: for each key what it means, its type and range, and its default."""
    parts = [*_tables_of(BEFORE), *_listed("sources"), *_tables_of(NETWORKS), *_listed("architectures")]
    parts += [*_tables_of(METHODS), *_listed("methods"), *_tables_of(AFTER), *_listed("rules")]
    return "\n".join(parts) + "\n"


def _tables_of(places: Mapping[type[BaseModel], str]) -> Iterator[str]:
    shown: set[str] = set()
    for model, place in places.items():
        yield f"### {place}\n\n{_first_line(model)}\n"
        names = [name for name in model.model_fields if name not in shown]
        if model in (NamedNetworkSettings, NeuronMethodSettings, LayerMethodSettings):
            names = [
                name for name in names if name not in (*MethodSettings.model_fields, *NetworkSettings.model_fields)
            ]
        yield _table(model, names)
        if model is DeepNetworkSettings:
            shown = set(model.model_fields)


def _listed(kind: str) -> Iterator[str]:
    """A line for each plug-in of a kind, with a table of the keys that it has besides those of all."""
    base = BASES[kind]
    common = {*base.model_fields, *NamedNetworkSettings.model_fields}
    common |= {*NeuronMethodSettings.model_fields, *LayerMethodSettings.model_fields} if kind == "methods" else set()
    yield f"### {HEADINGS[kind]}\n"
    if kind == "sources":
        yield _table(base, base.model_fields)
    for name, model in models_of(kind).items():
        own = [field for field, about in model.model_fields.items() if field not in common and about.repr]
        # A blank line ends a list, before a table or the next heading.
        yield f"- `{name}`: {_first_line(model)}\n" + (f"\n{_table(model, own)}" if own else "")


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def with_tables(page: str) -> str:
    """A page with the tables between its two marks regenerated."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{key_tables()}\n{END}{after}"


def _table(model: type[BaseModel], names: Iterable[str]) -> str:
    lines = ["| key | what it means | values | default |", "|---|---|---|---|"]
    for name in names:
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
            EveryCheckpoint: "`{every: n}`",
            StableFraction: "`{stable_fraction: s}`",
            Crop: "`{padding: p, flip: true}`",
            ResizedCrop: "`{scale: [s, l], flip: true}`",
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
