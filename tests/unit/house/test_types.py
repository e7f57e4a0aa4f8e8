"""Types hold the parts together: `make lint` runs mypy over all of the code; here is what that relies on."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

FILES = sorted(path for folder in ("src", "workflow", "scripts") for path in (ROOT / folder).rglob("*.py"))


def public_functions(tree: ast.AST, within_public: bool = True) -> list[ast.FunctionDef]:
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            public = within_public and (not node.name.startswith("_") or node.name in ("__init__", "__call__"))
            if isinstance(node, ast.FunctionDef) and public:
                found.append(node)
            # What stands inside of a function is its own.
            found += public_functions(node, public and isinstance(node, ast.ClassDef))
    return found


def test_no_public_function_takes_or_returns_anything_at_all() -> None:
    found, checked = [], 0
    for path in FILES:
        for function in public_functions(ast.parse(path.read_text())):
            given = function.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            annotations = [each.annotation for each in arguments if each is not None] + [function.returns]
            checked += 1
            for annotation in filter(None, annotations):
                text = annotation.value if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
                if "Any" in {part.strip() for part in str(text).replace("[", ",").replace("]", ",").split(",")}:
                    found.append(f"{path.relative_to(ROOT)}:{function.lineno} {function.name}")
    assert checked > 500
    assert found == []


def test_each_ignored_error_has_its_reason() -> None:
    lines = [(path, line) for path in FILES for line in path.read_text().splitlines() if "type: ignore" in line]
    assert [(path, line) for path, line in lines if "#" not in line.split("type: ignore", 1)[1]] == []


@pytest.mark.slow
def test_a_settings_field_that_is_renamed_is_found_where_it_is_read(tmp_path: Path) -> None:
    # Of libraries, whose types take minutes to read.
    cache = ROOT / ".mypy_cache"
    if not cache.is_dir():
        pytest.skip("mypy has not run here yet: make lint")
    shutil.copytree(cache, tmp_path / cache.name)
    for folder in ("src", "scripts", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    settings = tmp_path / "src/goodsubnet/settings/stages.py"
    text = settings.read_text()
    assert text.count("    width: Count\n") == 1
    settings.write_text(text.replace("    width: Count\n", "    neurons: Count\n"))
    command = [sys.executable, "-m", "mypy", "src", "scripts", "workflow"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    found = [line for line in said.splitlines() if ": error:" in line]
    assert any(line.startswith("src/goodsubnet/stages/two_layer/pruning_times.py") for line in found), said
    assert all("width" in line or "neurons" in line for line in found), said
