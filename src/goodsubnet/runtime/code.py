"""Source files as syntax trees: what a result may depend on, and nothing else.

Left out are comments, docstrings and layout; and all that only a type checker reads: annotations, type variables,
protocols, `cast`, what stands under TYPE_CHECKING, and imports that nothing else uses. So typing a module more
strictly makes no artifact again.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from goodsubnet.errors import UserError

# Names of the typing module whose classes, assignments and decorators mean nothing to the interpreter.
_TYPE_CLASSES = {"Protocol", "TypedDict"}
_TYPE_VARIABLES = {"TypeVar", "ParamSpec", "TypeVarTuple"}
_TYPE_DECORATORS = {"override", "final", "runtime_checkable"}
_ANNOTATIONS = {"annotation", "returns", "type_comment", "type_params", "type_ignores", "ctx", "kind"}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


def text_of(path: Path) -> str:
    """`code_text` of a file."""
    return _read_file(path)[0]


@functools.cache
def _read_file(path: Path) -> tuple[str, set[str]]:
    return _read(parsed(path))


def digest(text: str) -> str:
    """A short hash of code."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_text(tree: ast.Module) -> str:
    """The code in a form of our own: equal for two trees that do the same thing in the same way."""
    return _read(tree)[0]


@functools.cache
def imports_of(path: Path, package: str = "") -> list[str]:
    """Absolute names that a file imports and uses: modules, and objects of them.

    package: of the file, for relative imports. A package's own file (`__init__.py`) imports for others.
    """
    names = _read_file(path)[1]
    everything = path.name == "__init__.py"
    found = []
    for node in _imports(parsed(path)):
        used = [alias for alias in node.names if everything or _bound(alias) in names or alias.name == "*"]
        if isinstance(node, ast.Import):
            found += [alias.name for alias in used]
        elif used:
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in used)]
    return found


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _imports(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module, those inside functions, too; none that is for a type checker."""
    for statement in _statements(tree.body):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements. Far faster than ast.walk, which every job would wait for."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        for name in ("body", "orelse", "finalbody"):
            waiting += getattr(node, name, ())
        for name in ("handlers", "cases"):
            for part in getattr(node, name, ()):
                waiting += part.body


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What each import binds, and where it comes from."""
    for node in _imports(tree):
        base = f"{'.' * node.level}{node.module or ''} " if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            yield _bound(alias), f"{base}{alias.name}"


def _last_name(node: ast.AST) -> str:
    """`b` of the expressions `b`, `a.b`, `b[...]` and `a.b(...)`."""
    while isinstance(node, ast.Subscript | ast.Call):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _read(tree: ast.Module) -> tuple[str, set[str]]:
    """The code as text, and the names that it uses."""
    parts: list[str] = []
    names: set[str] = set()

    def visit(value: object, in_class: bool = False) -> None:
        if isinstance(value, list):
            parts.append("[")
            for each in value:
                visit(each, in_class)
            parts.append("]")
        elif not isinstance(value, ast.AST):
            parts.append(f"{value!r},")
        elif not _is_for_types(value):
            visit_node(value, in_class)

    def visit_node(node: ast.AST, in_class: bool) -> None:
        if isinstance(node, ast.AnnAssign):
            # A field of a class is there for its name; elsewhere a bare annotation does nothing.
            if node.value is None and not in_class:
                return
            parts.append("=(")
            visit([node.target])
            visit(node.value)
            parts.append(")")
            return
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            # As if it had been annotated.
            parts.append("=(")
            visit(node.targets)
            visit(node.value)
            parts.append(")")
            return
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            for each in node.orelse:
                visit(each, in_class)
            return
        if isinstance(node, ast.Call) and _last_name(node.func) == "cast" and len(node.args) == 2:
            visit(node.args[1])
            return
        if isinstance(node, ast.Name):
            names.add(node.id)
        parts.append(f"{type(node).__name__}(")
        for field, value in ast.iter_fields(node):
            if field in _ANNOTATIONS:
                continue
            if field == "bases":
                bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]  # type: ignore[attr-defined]  # only a class has the field
                value = [base for base in bases if _last_name(base) != "Generic"]
            if field == "decorator_list":
                value = [each for each in value if _last_name(each) not in _TYPE_DECORATORS]
            visit(value, isinstance(node, ast.ClassDef) and field == "body")
        parts.append(")")

    visit(tree)
    imports = [f"import {bound} {text}\n" for bound, text in _imported(tree) if bound in names or bound == "*"]
    return "".join([*sorted(imports), *parts]), names


def _is_for_types(node: ast.AST) -> bool:
    """Docstrings, imports (which are read apart), and what only a type checker reads."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        # A string that stands alone, also after an attribute; or `...`, the body of nothing.
        return isinstance(node.value.value, str) or node.value.value is Ellipsis
    if isinstance(node, ast.Pass):
        return True
    if isinstance(node, ast.ClassDef):
        return any(_last_name(base) in _TYPE_CLASSES for base in node.bases)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        # Not one that is called: numba has an `overload(...)` that does something.
        bare = [each for each in node.decorator_list if not isinstance(each, ast.Call)]
        return any(_last_name(each) == "overload" for each in bare)
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Call) and _last_name(node.value) in _TYPE_VARIABLES
    return isinstance(node, ast.AnnAssign) and _last_name(node.annotation) == "TypeAlias"


def parsed_by_user(path: Path) -> ast.Module:
    """The tree of a user's file. Raises UserError where it is missing or is not Python."""
    try:
        return ast.parse(path.expanduser().read_bytes(), filename=str(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; paths of networks are relative to where you are ({Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise UserError(f"{path} is not Python: {error.msg} (line {error.lineno})") from None
    except ValueError as error:
        raise UserError(f"{path} is not Python: {error}") from None


def imported_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever that stands, and the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno
