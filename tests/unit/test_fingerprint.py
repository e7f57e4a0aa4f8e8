"""The fingerprint follows what the code does, not how it is written."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import goodsubnet.fingerprint as module
from goodsubnet.fingerprint import fingerprint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a few modules in place of ours: a script, what it reaches, and what it does not."""
    files = {
        "script.py": "from goodsubnet.science import f\n\ndef main():\n    from goodsubnet.inner.late import g\n",
        "science.py": '"""Text."""\nfrom goodsubnet import shared\n\ndef f(x):\n    """Text."""\n    return x+1  # y\n',
        "shared.py": "LIMIT = 1\n",
        "inner/__init__.py": '"""Text."""\n',
        "inner/late.py": "from . import sibling\nfrom ..shared import LIMIT\nfrom goodsubnet.jobs import Job\n",
        "inner/sibling.py": "A = 1\n",
        "inner/method.py": "B = 1\n",
        "jobs.py": "C = 1\n",
        "other.py": "D = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    return tmp_path


def of(package, *modules):
    module._imports.cache_clear()
    module._code.cache_clear()
    return fingerprint(package / "script.py", modules)


@pytest.mark.parametrize("name", ["script.py", "science.py", "shared.py", "inner/late.py", "inner/sibling.py"])
def test_code_that_is_reached_counts(package, name):
    before = of(package)
    path = package / name
    path.write_text(path.read_text() + "\nE = 2\n")
    assert of(package) != before


@pytest.mark.parametrize("name", ["jobs.py", "other.py", "inner/method.py"])
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
    text = 'from goodsubnet import shared  # a comment\n\n\ndef f(x):\n\n    """Other."""\n    return (x +\n      1)\n'
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
    code = "from goodsubnet.fingerprint import fingerprint as f; print(f('scripts/prune.py', ['methods.greedy']))"
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
        names, waiting = set(), [*module._imports(ROOT / "scripts" / script), *modules]
        while waiting:
            name = waiting.pop()
            path = module._module_path(name)
            if path and name not in names and name.split(".")[0] not in module.INFRASTRUCTURE:
                names.add(name)
                waiting += module._imports(path, name if path.name == "__init__.py" else name.rpartition(".")[0])
        return names

    pretrain = reached("pretrain.py", "stages.two_layer.pretrain")
    assert {"training", "data.order", "networks.two_layer"} <= pretrain
    assert not any(name.startswith(("selection", "methods", "plots", "data.mnist")) for name in pretrain)
    assert {name for name in pretrain if name.startswith("theory")} == {"theory.tangent"}
    greedy, magnitude = (
        reached("prune.py", "stages.two_layer.prune", f"methods.{name}") for name in ("greedy", "magnitude")
    )
    assert {"selection.logistic", "selection.kernels", "methods.greedy"} <= greedy
    assert "methods.greedy" not in magnitude
    assert "training" not in greedy
