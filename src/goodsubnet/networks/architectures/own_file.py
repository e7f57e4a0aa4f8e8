"""Networks of the user's own: a Python file and a function in it that builds one.

What can be known without running the file is read off its syntax tree, so that a workflow can be parsed, and a faulty
file rejected, without torch. The file stands alone, because a change in anything that the network is made of must be
noticed.
"""

import ast
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from goodsubnet.errors import UserError
from goodsubnet.runtime import code, plugins
from goodsubnet.runtime.artifacts import Json
from goodsubnet.settings.networks import DeepNetworkSettings

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES: tuple[str, ...] = ()
"""None by name: the key `file` chooses it."""
PARAMETERS = ("classes", "channels")
"""What a builder may ask for: the number of classes, and of the images' channels."""


class Settings(DeepNetworkSettings):
    """A network of your own, from a Python file (docs/own_network.md)."""

    described: ClassVar[tuple[str, ...]] = ("file", "function", "code")

    file: str = Field(
        description="a Python file of your own with a function that builds the network, relative to where snakemake is "
        "called (docs/own_network.md)",
    )
    function: str = Field("build", description="with `file`: `function(classes, channels)` returns a torch.nn.Module")
    code: str | None = Field(None, description="a hash of the file's code, which the chain notes itself", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _no_keys_of_others(cls, value: object) -> object:
        for name in ("form", "width_multiplier"):
            if isinstance(value, dict) and name in value:
                raise ValueError(f"{name}: is for networks by name; a network from a file is as its function builds it")
        return value

    def as_architecture(self) -> dict[str, Json]:
        return {"kind": self.kind, **described(self.file, self.function)}


def described(file: str, function: str) -> dict[str, Json]:
    """A network of one's own as its artifacts describe it: {"file", "function", "code"}, a hash of the file's code.

    Comments, docstrings and layout are not in the hash. file: relative to the current folder.
    Raises UserError where the file is missing, is not Python, imports a file beside it, or has no such function.
    """
    path = Path(file)
    tree = code.parsed_by_user(path)
    plugins.stands_alone(path)
    _parameters(file, function, tree)
    return {"file": file, "function": function, "code": code.digest(code.code_text(tree))}


def build(settings: Settings, classes: int, channels: int) -> "nn.Module":
    """The network that the user's function builds.

    Raises UserError as `described`, where the code is not the one described, where the file or the function raises.
    """
    file, function = settings.file, settings.function
    now = described(file, function)["code"]
    if settings.code is not None and now != settings.code:
        raise UserError(f"{file}: its code is another than that of the network; bring it back, or run snakemake again")
    path = Path(file).expanduser()
    place = code.digest(f"{path.resolve()} {now}")
    builder = getattr(plugins.run_file(f"goodsubnet_network_{place}", path), function)
    known = dict(zip(PARAMETERS, (classes, channels), strict=True))
    asked = _parameters(file, function, code.parsed_by_user(path))
    try:
        network: nn.Module = builder(**{name: known[name] for name in asked})
    # The user's code may raise anything.
    except Exception as error:
        raise UserError(f"{file}: {function} raised {plugins.in_words(error)}") from None
    return network


def _parameters(file: str, function: str, tree: ast.Module) -> list[str]:
    """Which of PARAMETERS a builder asks for."""
    builders = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in builders:
        there = ", ".join(builders) or "none"
        raise UserError(f"{file} has no function {function} at its top level (there: {there})")
    arguments = builders[function]
    positional = [*arguments.posonlyargs, *arguments.args]
    required = [each.arg for each in positional[: len(positional) - len(arguments.defaults)]]
    required += [
        each.arg for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    unknown = [name for name in required if name not in PARAMETERS] + [each.arg for each in arguments.posonlyargs]
    if unknown:
        raise UserError(
            f"{file}: {function} asks for {unknown[0]}, and is given {' and '.join(PARAMETERS)} by their names; give "
            "all other parameters a default"
        )
    named = [each.arg for each in [*arguments.args, *arguments.kwonlyargs]]
    return list(PARAMETERS) if arguments.kwarg else [name for name in PARAMETERS if name in named]
