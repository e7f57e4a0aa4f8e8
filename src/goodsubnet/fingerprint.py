"""The fingerprint of the code that a job runs: it changes when a result could change, and not otherwise.

A hash over the syntax trees, without docstrings and comments, of a script and of the science modules that it reaches.
Imports inside functions count. Infrastructure is left out; `artifacts.FORMAT`, raised by hand, stands for it.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from goodsubnet.artifacts import FORMAT

PACKAGE = Path(__file__).parent
INFRASTRUCTURE = {
    *("artifacts", "audit", "cli", "devices", "distributed", "errors", "fingerprint", "jobs", "settings"),
    "verification",
}
# Modules that load others by name, and the package that they load them from.
LOADERS = {
    **{"stages": "stages.", "methods": "methods.", "data.sources": "data.", "stopping.rules": "stopping.rules."},
}


def fingerprint(script: str | Path, modules: Iterable[str] = ()) -> str:
    """Hash of a script and of the modules of goodsubnet that it reaches.

    modules: more starting points, names below goodsubnet: what the script loads by name, such as a method's module.
    """
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for name, path in [("", Path(script)), *sorted(_reached([*_imports(Path(script)), *modules]).items())]:
        digest.update(f"\n{name}\n{_code(path)}".encode())
    return digest.hexdigest()[:16]


def loaded_sources() -> dict[str, str]:
    """The code that this process has loaded, file -> hash: its script, and the science modules that it reaches.

    Names are `scripts/<script>.py` and `goodsubnet/<module>.py`; with a package come the tables that lie in it. Science
    that only infrastructure has loaded (the settings know all data sets) is left out, as in the fingerprint.
    """
    loaded = {name.removeprefix("goodsubnet.") for name in list(sys.modules) if name.startswith("goodsubnet.")}
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "").resolve()
    paths = [script] if script.parent == _checkout() / "scripts" else []
    starts = [
        name for name in loaded for loader, package in LOADERS.items() if loader in loaded and name.startswith(package)
    ]
    for path in paths:
        starts += _imports(path)
    for path in list(_reached(starts, loaded).values()):
        paths += [path, *(path.parent.glob("*.csv") if path.name == "__init__.py" else [])]
    return dict(sorted((_name(path), _digest(path)) for path in paths))


def source_hash(name: str) -> str | None:
    """Today's hash of a file that `loaded_sources` named; None where there is none."""
    path = (PACKAGE.parent if name.startswith("goodsubnet/") else _checkout()) / name
    return _digest(path) if path.is_file() else None


def _checkout() -> Path:
    return PACKAGE.resolve().parents[1]


def _name(path: Path) -> str:
    """`scripts/<script>.py` or `goodsubnet/<module>.py`."""
    return path.relative_to(PACKAGE.parent if path.is_relative_to(PACKAGE) else _checkout()).as_posix()


def _reached(starts: Iterable[str], among: Container[str] | None = None) -> dict[str, Path]:
    """Science modules that can be reached from some names below goodsubnet, and their files. among: over these only."""
    reached: dict[str, Path] = {}
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if among is not None and name not in among:
            continue
        path = _module_path(name)
        if path is None or name in reached or name.split(".")[0] in INFRASTRUCTURE:
            continue
        reached[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _imports(path, package)
        waiting += [name.rpartition(".")[0]] if "." in name else []
    return reached


@functools.cache
def _digest(path: Path) -> str:
    content = _code(path).encode() if path.suffix == ".py" else path.read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _module_path(name: str) -> Path | None:
    """The file of goodsubnet.<name>, or None where there is no such module (it is an object of one)."""
    base = PACKAGE.joinpath(*name.split(".")) if name else PACKAGE
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@functools.cache
def _imports(path: Path, package: str = "") -> list[str]:
    """Names below goodsubnet that a file imports: modules, and objects of them, which lead to no file."""
    names = []
    for node in _statements(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = ["goodsubnet", *package.split(".")] if package else ["goodsubnet"]
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [name.removeprefix("goodsubnet.") for name in names if name.startswith("goodsubnet.")]


@functools.cache
def _code(path: Path) -> str:
    return code_text(ast.parse(path.read_bytes(), filename=str(path)))


def code_text(tree: ast.Module) -> str:
    """Code as the interpreter sees it: no comments, no docstrings, no layout. The tree loses its docstrings."""
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]
    return ast.unparse(tree)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module and all statements in it. Four times as fast as ast.walk, which every job would wait for."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, name, ())


def _is_text(statement: ast.stmt) -> bool:
    """A string that stands alone: a docstring, of an attribute too."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
