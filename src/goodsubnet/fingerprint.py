"""The fingerprint of the code that a job runs: it changes when a result could change, and not otherwise.

A hash over the syntax trees, without docstrings and comments, of a script and of the science modules that it reaches.
Imports inside functions count. Infrastructure is left out; `artifacts.FORMAT`, raised by hand, stands for it.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from goodsubnet.artifacts import FORMAT

PACKAGE = Path(__file__).parent
INFRASTRUCTURE = {"artifacts", "audit", "cli", "devices", "distributed", "errors", "fingerprint", "jobs", "settings"}


def fingerprint(script: str | Path, modules: Iterable[str] = ()) -> str:
    """Hash of a script and of the modules of goodsubnet that it reaches.

    modules: more starting points, names below goodsubnet: what the script loads by name, such as a method's module.
    """
    reached: dict[str, Path] = {}
    waiting = [*_imports(Path(script)), *modules]
    while waiting:
        name = waiting.pop()
        path = _module_path(name)
        if path is None or name in reached or name.split(".")[0] in INFRASTRUCTURE:
            continue
        reached[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _imports(path, package)
        waiting += [name.rpartition(".")[0]] if "." in name else []
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for name, path in [("", Path(script)), *sorted(reached.items())]:
        digest.update(f"\n{name}\n{_code(path)}".encode())
    return digest.hexdigest()[:16]


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
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
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
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_text(statement: ast.stmt) -> bool:
    """A string that stands alone: a docstring, of an attribute too."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
