"""The house stays in order: what may import what is checked by import-linter, the rest here."""

import re
import subprocess
import sys
from pathlib import Path

from project import ROOT

PACKAGE = ROOT / "src/goodsubnet"


def test_imports_run_down_and_in_no_circle() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    said = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
    assert "0 broken" in said.stdout


def test_nothing_but_the_public_face_stands_on_the_ground_floor() -> None:
    there = {path.stem for path in PACKAGE.glob("*.py")}
    assert there == {"__init__", "cli", "errors", "preflight"}


def test_modules_are_loaded_by_name_in_one_place() -> None:
    pattern = re.compile(r"import_module\(|spec_from_file_location\(|__import__\(")
    users = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if pattern.search(path.read_text())}
    assert users == {"runtime/plugins.py"}


def test_the_public_face_is_what_it_says() -> None:
    import goodsubnet

    for name in goodsubnet.__all__:
        assert getattr(goodsubnet, name) is not None, name
    assert "nothing_of_this_name" not in dir(goodsubnet)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, goodsubnet; print(sorted({'torch', 'numba', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    environment = {"PYTHONPATH": str(ROOT / "src")}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert said.stdout.strip() == "[]", said.stderr
