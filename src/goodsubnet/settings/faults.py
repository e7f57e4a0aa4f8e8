"""The faults of a configuration in words."""

import difflib

from pydantic import ValidationError


def explain(error: ValidationError, prefix: str = "") -> list[str]:
    """A line for each fault, the key first."""
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join([prefix, *_key(fault["loc"])] if prefix else _key(fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "unknown key" + _suggestion(str(fault["loc"][-1]))
        elif fault["type"] == "missing":
            message = "is missing"
        elif fault["type"] not in ("value_error", "assertion_error"):
            message = f"{message[0].lower()}{message[1:]}, got {fault['input']!r}"
        lines.append(f"{key}: {message}" if key else message)
    return lines


def _key(location: tuple[str | int, ...]) -> list[str]:
    """The path of keys and positions, without the names that pydantic gives to the branches of a union."""
    parts = [str(part) for part in location]
    if parts[:1] in (["datasets"], ["networks"]):
        del parts[2:3]
    return [
        part for part in parts if not part.startswith(("EveryCheckpoint", "union[", "list[", "literal[", "constrained"))
    ]


def _suggestion(key: str) -> str:
    """The key that was probably meant, in words."""
    from goodsubnet.settings import documented_models

    known = {name for model in documented_models() for name in model.model_fields}
    if key in known:
        return " here"
    close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""
