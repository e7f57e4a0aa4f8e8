"""Plug-ins: pruning methods, stopping rules, sources of data, architectures. One module each, found automatically.

Ours lie in a package each; a user's in folders `plugins/<kind>/` beside the configuration, which GOODSUBNET_PLUGINS
names. A module is found by its name, so that the code of one is not in the fingerprint of another. This is the only
place that imports by name.
"""

import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from goodsubnet.errors import UserError
from goodsubnet.runtime import code

FOLDER = "plugins"
VARIABLE = "GOODSUBNET_PLUGINS"
"""Names the folders `plugins`, one after the other, as PATH does."""
KINDS = {
    "methods": "goodsubnet.pruning.methods",
    "rules": "goodsubnet.stopping.rules",
    "sources": "goodsubnet.data.sources",
    "architectures": "goodsubnet.networks.architectures",
}
"""Kind, as its folder is called -> the package that ours are in."""
NEEDED = {
    "methods": ("Settings", "select"),
    "rules": ("Settings", "decide"),
    "sources": ("Settings", "load"),
    "architectures": ("Settings", "build"),
}

_run: set[str] = set()


@dataclass(frozen=True)
class Plugin:
    """A module that does one thing: a method, say. path: the file of a user's plug-in; None for ours."""

    kind: str
    name: str
    path: Path | None = None

    @property
    def module(self) -> str:
        """The module's name."""
        if self.path is None:
            return f"{KINDS[self.kind]}.{self.name}"
        place = code.digest(str(self.path.resolve()))
        return f"goodsubnet_plugins_{self.kind}_{self.name}_{place}"

    @property
    def source(self) -> str:
        """What its code is, as `fingerprint.fingerprint` takes it: a name below goodsubnet, or a user's file."""
        return self.module.removeprefix("goodsubnet.") if self.path is None else str(self.path)


def add_folder(path: Path) -> None:
    """Look for users' plug-ins there, too, in this process and those that it starts."""
    known = [each for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
    if path.is_dir() and str(path) not in known:
        os.environ[VARIABLE] = os.pathsep.join([*known, str(path)])


def folders() -> list[Path]:
    """The folders of users' plug-ins that are there."""
    named = dict.fromkeys(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))
    return [path for path in map(Path, named) if path.is_dir()]


def found(kind: str) -> dict[str, Plugin]:
    """The plug-ins of a kind, by name, in order. Raises UserError where a file has the name of another."""
    return dict(_found(kind, tuple(folders())))


@functools.cache
def _found(kind: str, users: tuple[Path, ...]) -> dict[str, Plugin]:
    package = importlib.import_module(KINDS[kind])
    plugins = {module.name: Plugin(kind, module.name) for module in pkgutil.iter_modules(package.__path__)}
    for folder in users:
        for path in sorted((folder / kind).glob("*.py")):
            name = path.stem
            if not name.isidentifier():
                raise UserError(f"{path}: {name} is not a name that Python can import; use letters, digits and _")
            if name in plugins:
                other = plugins[name].path or f"one of goodsubnet's own {kind}"
                raise UserError(f"{path}: the name {name} is taken by {other}; rename the file")
            plugins[name] = Plugin(kind, name, path)
    return dict(sorted(plugins.items()))


def load(kind: str, name: str) -> ModuleType:
    """The module of a plug-in, to run it. Raises as `read` does."""
    module = read(kind, name)
    _run.add(found(kind)[name].source)
    return module


def read(kind: str, name: str) -> ModuleType:
    """The module of a plug-in, for what it declares.

    Raises UserError where there is none of this name, or a user's is invalid.
    """
    plugins = found(kind)
    if name not in plugins:
        singular = {"methods": "algorithm"}.get(kind, kind[:-1])
        raise UserError(f"{singular} {name!r} is not one of {', '.join(plugins)}")
    plugin = plugins[name]
    if plugin.path is None:
        return importlib.import_module(plugin.module)
    return _users_module(plugin.module, plugin.path, kind)


@functools.cache
def _users_module(module: str, path: Path, kind: str) -> ModuleType:
    stands_alone(path)
    loaded = run_file(module, path)
    for name in NEEDED[kind]:
        if not hasattr(loaded, name):
            raise UserError(f"{path}: has no {name}; a file in plugins/{kind} needs {' and '.join(NEEDED[kind])}")
    return loaded


def run_file(module: str, path: Path) -> ModuleType:
    """A file as a module, read once per process. Raises UserError with what it raised."""
    if module in sys.modules:
        return sys.modules[module]
    spec = importlib.util.spec_from_file_location(module, path)
    if spec is None:
        raise UserError(f"{path} is not Python; its name must end with .py")
    loaded = importlib.util.module_from_spec(spec)
    # Before it is run: dataclasses look their module up.
    sys.modules[module] = loaded
    try:
        # Not by the loader, which may take old bytecode for a file that was changed within the second.
        exec(compile(path.read_bytes(), str(path), "exec"), loaded.__dict__)
    except Exception as error:
        del sys.modules[module]
        raise UserError(f"{path}: raised {in_words(error)} as it was read") from None
    return loaded


def load_module(name: str) -> ModuleType:
    """A module of goodsubnet that is chosen by its name, to run it. name: below goodsubnet."""
    _run.add(name)
    return read_module(name)


def read_module(name: str) -> ModuleType:
    """The same, for what it declares."""
    return importlib.import_module(f"goodsubnet.{name}")


def run_by_name() -> list[str]:
    """What this process loaded by name to run it, as `fingerprint.fingerprint` takes it."""
    return sorted(_run)


def stands_alone(path: Path) -> None:
    """Raises UserError where a file cannot be read, or imports one beside it, whose changes would go unnoticed."""
    tree = code.parsed_by_user(path)
    for name, line in code.imported_names(tree):
        first = name.lstrip(".").split(".")[0]
        beside = [path.parent / f"{first}.py", path.parent / first / "__init__.py"]
        if name.startswith(".") or any(each.is_file() for each in beside):
            raise UserError(
                f"{path}: line {line} imports {name}, a file beside it, whose changes would go unseen; put "
                "everything into one file"
            )


def in_words(error: Exception) -> str:
    """The type of an error, and its message in one line."""
    reason = " ".join(str(error).split())
    return f"{type(error).__name__} ({reason})" if reason else type(error).__name__
