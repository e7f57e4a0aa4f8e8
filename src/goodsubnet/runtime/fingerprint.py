"""The fingerprint of the code that a job runs: it changes when a result could change, and not otherwise.

A hash over the code (`code.code_text`) of a script and of the science modules that it reaches. Imports inside functions
count. Two packages are left out: `runtime`, for which `artifacts.FORMAT`, raised by hand, stands; and `settings`, whose
values stand in a stage's settings themselves.
"""

import functools
import hashlib
import sys
from collections.abc import Container, Iterable
from pathlib import Path

from goodsubnet.runtime import code, plugins
from goodsubnet.runtime.artifacts import FORMAT

PACKAGE = Path(__file__).parents[1]
LEFT_OUT = ("runtime", "settings", "errors")


def fingerprint(script: str | Path, modules: Iterable[str] = ()) -> str:
    """Hash of a script and of the modules of goodsubnet that it reaches.

    modules: more starting points, names below goodsubnet: what the script loads by name, such as a method's module; or
    the files of users' plug-ins.
    """
    hashed = hashlib.sha256(f"format {FORMAT}".encode())
    files = [Path(script), *(Path(name) for name in modules if name.endswith(".py"))]
    starts = [name for file in files for name in _science(file)]
    starts += [name for name in modules if not name.endswith(".py")]
    for number, path in enumerate(files):
        hashed.update(f"\n{number}\n{code.text_of(path)}".encode())
    for name, path in sorted(_reached(starts).items()):
        hashed.update(f"\n{name}\n{code.text_of(path)}".encode())
    return hashed.hexdigest()[:16]


def loaded_sources() -> dict[str, str]:
    """The code that this process has loaded, file -> hash: its script, and the science modules that it reaches.

    Names are `scripts/<script>.py` and `goodsubnet/<module>.py`, and of users' plug-ins the paths; the tables in a
    package are included with it. Science that only infrastructure has loaded is left out, as in the fingerprint, and a
    plug-in that was only read for its settings.
    """
    loaded = {name.removeprefix("goodsubnet.") for name in list(sys.modules) if name.startswith("goodsubnet.")}
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "").resolve()
    paths = [script] if script.parent == _checkout() / "scripts" else []
    chosen = plugins.run_by_name()
    paths += [Path(name) for name in chosen if name.endswith(".py")]
    starts = [name for name in chosen if not name.endswith(".py")]
    for path in paths:
        starts += _science(path)
    for path in list(_reached(starts, loaded).values()):
        paths += [path, *(path.parent.glob("*.csv") if path.name == "__init__.py" else [])]
    return dict(sorted((_name(path), _digest(path)) for path in paths))


def source_hash(name: str) -> str | None:
    """Today's hash of a file that `loaded_sources` named; None where there is none."""
    folder = (
        PACKAGE.parent if name.startswith("goodsubnet/") else _checkout() if name.startswith("scripts/") else Path()
    )
    path = folder / name
    return _digest(path) if path.is_file() else None


def _checkout() -> Path:
    return PACKAGE.resolve().parents[1]


def _name(path: Path) -> str:
    """`scripts/<script>.py`, `goodsubnet/<module>.py` or a path."""
    for folder in (PACKAGE.parent, _checkout()):
        if path.is_relative_to(folder / "goodsubnet") or path.is_relative_to(folder / "scripts"):
            return path.relative_to(folder).as_posix()
    return str(path)


def _science(path: Path, package: str = "goodsubnet") -> list[str]:
    """Names below goodsubnet that a file imports."""
    names = code.imports_of(path, package)
    return [name.removeprefix("goodsubnet.") for name in names if name.startswith("goodsubnet.")]


def _reached(starts: Iterable[str], among: Container[str] | None = None) -> dict[str, Path]:
    """Science modules that can be reached from some names below goodsubnet, and their files. among: over these only."""
    reached: dict[str, Path] = {}
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if among is not None and name not in among:
            continue
        path = _module_path(name)
        if path is None or name in reached or name.split(".")[0] in LEFT_OUT:
            continue
        reached[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _science(path, f"goodsubnet.{package}")
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return reached


@functools.cache
def _digest(path: Path) -> str:
    content = code.text_of(path).encode() if path.suffix == ".py" else path.read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _module_path(name: str) -> Path | None:
    """The file of goodsubnet.<name>, or None where there is no such module (it is an object of one)."""
    base = PACKAGE.joinpath(*name.split(".")) if name else PACKAGE
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None
