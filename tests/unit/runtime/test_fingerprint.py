"""The fingerprint follows what the code does, not how it is written."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import goodsubnet.runtime.fingerprint as module
from goodsubnet.runtime import code
from goodsubnet.runtime.fingerprint import fingerprint

ROOT = Path(__file__).parents[3]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a few modules in place of ours: a script, what it reaches, and what it does not."""
    files = {
        "script.py": "from goodsubnet.science import f\n\n"
        "def main():\n    from goodsubnet.inner.late import g\n    f(g)\n",
        "science.py": '"""Text."""\nfrom goodsubnet import shared\n\n'
        'def f(x):\n    """Text."""\n    return x+shared.LIMIT  # y\n',
        "shared.py": "LIMIT = 1\n",
        "inner/__init__.py": '"""Text."""\n',
        "inner/late.py": "from . import sibling\nfrom ..shared import LIMIT\nfrom goodsubnet.runtime.jobs import Job\n"
        "g = sibling.A, LIMIT, Job\n",
        "inner/sibling.py": "A = 1\n",
        "inner/method.py": "B = 1\n",
        "runtime/jobs.py": "C = 1\n",
        "settings/stages.py": "F = 1\n",
        "other.py": "D = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    return tmp_path


def of(package, *modules):
    code.parsed.cache_clear()
    code._read_file.cache_clear()
    code.imports_of.cache_clear()
    return fingerprint(package / "script.py", modules)


@pytest.mark.parametrize("name", ["script.py", "science.py", "shared.py", "inner/late.py", "inner/sibling.py"])
def test_code_that_is_reached_counts(package, name):
    before = of(package)
    path = package / name
    path.write_text(path.read_text() + "\nE = 2\n")
    assert of(package) != before


@pytest.mark.parametrize("name", ["runtime/jobs.py", "settings/stages.py", "other.py", "inner/method.py"])
def test_infrastructure_and_code_out_of_reach_do_not(package, name):
    before = of(package)
    (package / name).write_text("C = 'another'\n")
    assert of(package) == before


def test_what_is_loaded_by_name_counts_where_it_is_named(package):
    before, with_method = of(package), of(package, "inner.method")
    assert before != with_method
    (package / "inner/method.py").write_text("B = 3\n")
    assert of(package) == before
    assert of(package, "inner.method") != with_method


def test_comments_docstrings_and_layout_do_not_count(package):
    before = of(package)
    text = (
        "from goodsubnet import shared  # a comment\n\n\n"
        'def f(x):\n\n    """Other."""\n    return (x +\n      shared.LIMIT)\n'
    )
    (package / "science.py").write_text(text)
    assert of(package) == before
    (package / "science.py").write_text(text.replace("x +", "x -"))
    assert of(package) != before


def test_the_format_number_counts(package, monkeypatch):
    before = of(package)
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert of(package) != before


def test_the_same_in_every_process_and_place(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    code = "from goodsubnet.runtime.fingerprint import fingerprint as f\n"
    code += "print(f('scripts/prune.py', ['pruning.methods.greedy']))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={"PYTHONPATH": "src", "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for folder in (ROOT, tmp_path)
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_our_stages_reach_what_they_should():
    """Pretraining knows nothing of the selection, nor one method of another."""

    def reached(script, *modules):
        return set(module._reached([*module._science(ROOT / "scripts" / script), *modules]))

    pretrain = reached("pretrain.py", "stages.two_layer.pretrain")
    assert {"training.loop", "data.order", "networks.two_layer"} <= pretrain
    assert not any(name.startswith(("selection", "pruning", "plots", "data.sources.")) for name in pretrain)
    assert {name for name in pretrain if name.startswith("theory")} == {"theory", "theory.tangent"}
    greedy, magnitude = (
        reached("prune.py", "stages.two_layer.prune", f"pruning.methods.{name}") for name in ("greedy", "magnitude")
    )
    assert {"selection.logistic", "selection.kernels", "pruning.methods.greedy"} <= greedy
    assert "pruning.methods.greedy" not in magnitude
    assert "training.loop" not in greedy


@pytest.mark.parametrize(
    "typed",
    [
        "def f(x, y=2):\n    z = x + y\n    return z\n",
        "def f(x: int, y: int = 2) -> int:\n    z: int = x + y\n    return z\n",
        "from typing import cast\n\ndef f(x, y=2):\n    z = cast(int, x + y)\n    return z\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import goodsubnet.other\n\n"
        'def f(x: "goodsubnet.other", y=2):\n    z = x + y\n    return z\n',
        "from typing import Protocol, TypeVar\nT = TypeVar('T')\nclass P(Protocol):\n    a: int\n\n"
        "def f(x: T, y: 'P' = 2) -> T:\n    z: P\n    z = x + y\n    return z\n",
        "from goodsubnet.other import D\n\ndef f(x: D, y=2):\n    z = x + y\n    return z\n",
    ],
)
def test_types_do_not_count(package, typed):
    plain = "def f(x, y=2):\n    z = x + y\n    return z\n"
    (package / "science.py").write_text(plain)
    before = of(package)
    (package / "science.py").write_text(typed)
    assert of(package) == before


@pytest.mark.parametrize(
    "changed",
    [
        "def f(x, y=3):\n    z = x + y\n    return z\n",
        "from goodsubnet.other import D\n\ndef f(x, y=2):\n    z = D + y\n    return z\n",
        "class A:\n    x: int\n    y: int\n",
        "class A:\n    y: int\n    x: int\n",
        "final = 1\nf = final\n",
        "final = 1\nf = override\n",
    ],
)
def test_what_runs_counts_beside_the_types(package, changed):
    seen = {of(package)}
    for text in ("def f(x, y=2):\n    z = x + y\n    return z\n", "class A:\n    x: int\n", changed):
        (package / "science.py").write_text(text)
        assert of(package) not in seen
        seen.add(of(package))
