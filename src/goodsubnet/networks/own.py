"""Networks of the user's own: a Python file and a function in it that builds one.

What can be known without running the file is read off its syntax tree, so that a workflow is parsed, and a wrong file
refused, without torch. The file stands alone: what a network is made of must be seen when it changes.
"""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodsubnet.errors import UserError
from goodsubnet.fingerprint import code_text

if TYPE_CHECKING:
    from torch import nn

PARAMETERS = ("classes", "channels")
"""What a builder may ask for: the number of classes, and of the images' channels."""


def described(file: str, function: str) -> dict[str, str]:
    """A network of one's own as its artifacts describe it: {"file", "function", "code"}, a hash of the file's code.

    Comments, docstrings and layout are not in the hash. file: relative to where one is.
    Raises UserError where the file is missing, is not Python, imports a file beside it, or has no such function.
    """
    tree = _tree(file)
    _check_imports(file, tree)
    _parameters(file, function, tree)
    return {"file": file, "function": function, "code": hashlib.sha256(code_text(tree).encode()).hexdigest()[:16]}


def build_own(architecture: Mapping[str, Any], classes: int, channels: int) -> "nn.Module":
    """The network that the user's function builds. architecture: as `described` gives it.

    Raises UserError as `described`, where the code is not the one described, where the file or the function raises,
    and where what it returns is not a network that can be kept as tensors of a file.
    """
    file, function = architecture["file"], architecture["function"]
    if described(file, function)["code"] != architecture["code"]:
        raise UserError(f"{file}: its code is another than that of the network; bring it back, or run snakemake again")
    builder = getattr(_module(file, architecture["code"]), function)
    known = dict(zip(PARAMETERS, (classes, channels), strict=True))
    try:
        network = builder(**{name: known[name] for name in _parameters(file, function, _tree(file))})
    # The user's code may raise anything.
    except Exception as error:
        raise UserError(f"{file}: {function} raised {_words(error)}") from None
    _check(network, f"{file}: {function}")
    return network


def _tree(file: str) -> ast.Module:
    try:
        return ast.parse(Path(file).expanduser().read_bytes(), filename=file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing; paths of networks are relative to where you are ({Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise UserError(f"{file} is not Python: {error.msg} (line {error.lineno})") from None
    except ValueError as error:
        raise UserError(f"{file} is not Python: {error}") from None


def _check_imports(file: str, tree: ast.Module) -> None:
    """Raises UserError where the file imports another one beside it, whose changes would go unseen."""
    folder = Path(file).expanduser().parent
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        for name in names:
            first = name.lstrip(".").split(".")[0]
            if name.startswith(".") or (folder / f"{first}.py").is_file() or (folder / first / "__init__.py").is_file():
                raise UserError(
                    f"{file}: line {node.lineno} imports {name}, a file beside it, whose changes would go unseen; put "
                    "the network into one file"
                )


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


def _module(file: str, code: str) -> Any:
    """The file as a module, read once a process."""
    path = Path(file).expanduser().resolve()
    name = f"goodsubnet_network_{hashlib.sha256(f'{path} {code}'.encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        # Before it is run: dataclasses look their module up.
        sys.modules[name] = module
        try:
            # Not by the loader, which may take old bytecode for a file that was changed within the second.
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[name]
            raise UserError(f"{file}: raised {_words(error)} as it was read") from None
    return sys.modules[name]


def _check(network: Any, what: str) -> None:
    """Raises UserError where something is no network, or not one that its tensors say all of."""
    import torch
    from torch import nn

    if not isinstance(network, nn.Module):
        raise UserError(f"{what} returned {type(network).__name__}, not a torch.nn.Module")
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    if any(isinstance(each, nn.parameter.UninitializedTensorMixin) for each in network.state_dict().values()):
        raise UserError(f"{what} builds lazy layers, whose shapes are not known yet; give them their channels")
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            raise UserError(f"{what} keeps {name} in its state, which is not a tensor; keep it elsewhere")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise UserError(f"{what} has {name} in {str(tensor.dtype).removeprefix('torch.')}; make it float32")
    if len(names) != len(list(network.parameters())):
        own = {name for name, _ in network.named_parameters()}
        shared = next(name for name in names if name not in own)
        raise UserError(f"{what} uses the weights {shared} in two layers, which cannot be pruned; give each its own")


def _words(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"{type(error).__name__} ({reason})" if reason else type(error).__name__
