"""The faults of a configuration in words, and what is typed by the name of a plug-in."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from goodsubnet.errors import UserError
from goodsubnet.runtime import plugins
from goodsubnet.settings.base import Model, all_models

M = TypeVar("M", bound=Model)


def explain(error: ValidationError, prefix: str = "") -> list[str]:
    """A line for each fault, the key first."""
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join([prefix, *_key(fault["loc"])] if prefix else _key(fault["loc"]))
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            # Of a part that is typed by the name of a plug-in.
            lines += explain(inner, prefix=key)
            continue
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "unknown key" + _suggestion(str(fault["loc"][-1]))
        elif fault["type"] == "missing":
            message = "is missing"
        elif fault["type"] not in ("value_error", "assertion_error"):
            message = f"{message[0].lower()}{message[1:]}, got {fault['input']!r}"
        lines.append(f"{key}: {message}" if key else message)
    return lines


def typed(kind: str, key: str, value: object, base: type[M]) -> M:
    """Settings of a plug-in as its own model. key: names the plug-in among them. base: the base of all of this kind.

    Raises ValueError in words, ValidationError (which is one) for the keys.
    """
    if isinstance(value, base):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get(key), str):
        raise ValueError(f"needs the key {key}, one of {', '.join(plugins.found(kind))}")
    return model_of(kind, value[key], base).model_validate(value)


def model_of(kind: str, name: str, base: type[M]) -> type[M]:
    """The settings model of a plug-in. Raises ValueError where there is no such plug-in, or it has no such model."""
    try:
        model = plugins.read(kind, name).Settings
    except UserError as error:
        raise ValueError(str(error)) from None
    if not isinstance(model, type) or not issubclass(model, base):
        path = plugins.found(kind)[name].path
        raise ValueError(f"{path}: Settings must be derived from goodsubnet.settings.{base.__name__}")
    return model


def _key(location: tuple[str | int, ...]) -> list[str]:
    """The path of keys and positions, without the names that pydantic gives to the branches of a union."""
    return [
        part
        for part in map(str, location)
        if not part.startswith(("EveryCheckpoint", "union[", "list[", "literal[", "constrained", "function-"))
    ]


def _suggestion(key: str) -> str:
    """The key that was probably meant, in words."""
    for kind in plugins.KINDS:
        for name in plugins.found(kind):
            plugins.read(kind, name)
    known = {name for model in all_models() for name in model.model_fields}
    if key in known:
        return " here"
    close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""
