"""Plug-ins beside a user's configuration: one of each is put into place, and the chain runs with it."""

import csv
import json
import re
from pathlib import Path

import pytest
from project import ROOT, Project

# What docs/plugins.md shows.
FILES = dict(
    re.findall(r"`plugins/(\w+/\w+\.py)`:\n\n```python\n(.*?)```", (ROOT / "docs/plugins.md").read_text(), re.DOTALL)
)
METHOD, SOURCE = FILES["methods/first.py"], FILES["sources/squares.py"]
ARCHITECTURE = FILES["architectures/mine.py"]


def put(project: Project, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = project.folder / "config/plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def plugged(project: Project) -> Project:
    """A project whose every part is a plug-in of its own."""
    put(project, FILES)
    project.settings["datasets"] = {"squares": {"source": "squares"}}
    project.settings["networks"]["three"] = {"kind": "deep", "architecture": "three", "channels": 5}
    project.settings["methods"] = {
        "first": {"algorithm": "first", "steps": 5, "begin": 3},
        "like": {"algorithm": "greedy", "steps": 5},
        "norms": {"algorithm": "layer_greedy", "tolerance": 0.5, "probe_size": 20, "batch_size": 8},
    }
    project.settings["stopping"] = {"steps": 5, "rules": {"after": {"rule": "after", "checkpoints": 2}}}
    project.experiment.update(dataset="squares", methods=["first"], examples=[20])
    project.settings["experiments"]["deep"] = {
        **{"dataset": "squares", "networks": ["three"], "methods": ["norms"], "examples": [20], "seeds": [0]},
        "pretrain": {
            **{"loss": "cross_entropy", "iterations": 4, "checkpoints": [4], "batch_size": 8, "learning_rate": 0.05},
            **{"schedule": "constant", "augmentation": None},
        },
    }
    project.settings["targets"] = ["small", "deep"]
    return project


def test_one_of_each_is_found_by_being_there(plugged: Project) -> None:
    plugged.snakemake()
    rows = list(csv.DictReader((plugged.folder / "results/small/evaluations.csv").open()))
    assert {row["method"] for row in rows} == {"first"}
    assert {row["distinct"] for row in rows} == {"5"}
    stops = list(csv.DictReader((plugged.folder / "results/small/stopping.csv").open()))
    assert {row["stopped_at"] for row in stops if row["rule"] == "after"} == {"10"}
    assert "Squares" in (plugged.folder / "results/deep/tables/accuracy.md").read_text()
    path = plugged.path("results/small/prune/first/*/examples-20/*/iteration-0.provenance.json")
    sidecar = json.loads(path.read_text())
    assert "config/plugins/methods/first.py" in sidecar["sources"]
    assert plugged.plan() == {}


def test_its_code_counts_like_ours(plugged: Project) -> None:
    plugged.snakemake()
    path = plugged.folder / "config/plugins/methods/first.py"
    path.write_text(path.read_text().replace('"""The first neurons."""', '"""The first of them."""  # a comment'))
    assert plugged.plan() == {}
    path.write_text(path.read_text().replace("settings.begin + settings.size)", "settings.size + settings.begin)"))
    planned = plugged.plan()
    assert planned["prune"] == 3
    assert not {"pretrain", "prepare", "subset", "finetune"} & planned.keys()
    path = plugged.folder / "config/plugins/architectures/mine.py"
    path.write_text(path.read_text().replace("range(3)", "range(4)"))
    assert plugged.plan()["pretrain"] == 1


def test_a_network_that_says_that_it_costs_much_is_believed(plugged: Project) -> None:
    told = {}
    for multiply_adds in ("100e3", "1e12"):
        put(plugged, {"architectures/mine.py": ARCHITECTURE.replace("100e3", multiply_adds)})
        said = plugged.snakemake("-n", "deep").stdout
        (line,) = [line for line in said.splitlines() if line.startswith("pretrain")]
        told[multiply_adds] = line.split()[-1]
    assert told["100e3"] in ("s", "minutes")
    assert told["1e12"] in ("hours", "days")


def test_a_copy_of_a_method_under_another_name_asks_for_the_same(plugged: Project) -> None:
    """Its cost is its own word, not its name's."""
    source = Path(plugged.code / "src/goodsubnet/pruning/methods/greedy.py").read_text()
    put(plugged, {"methods/like_greedy.py": source})
    plugged.settings["methods"]["copy"] = {"algorithm": "like_greedy", "steps": 5}
    plugged.experiment["methods"] = ["like", "copy"]
    plugged.settings["networks"]["width-20"]["width"] = 20_000
    plugged.settings["targets"] = ["small"]
    told = plugged.snakemake("-n", "-p", "--quiet", "host", "--", "prune_all").stdout
    asked = {}
    for method in ("like", "copy"):
        jobs = [
            text for text in re.findall(r"^rule prune:\n(.*?)\n\n", told, re.M | re.S) if f"/prune/{method}/" in text
        ]
        assert len(jobs) == 3
        asked[method] = {re.search(r"mem_mb=(\d+)", job)[1] for job in jobs}
    assert asked["like"] == asked["copy"]
    assert asked["like"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("methods/broken.py", "import nothing_of_this_name\n", "raised ModuleNotFoundError"),
        ("methods/broken.py", "def select(:\n", "is not Python"),
        ("methods/empty.py", "def select(candidates, settings, seed):\n    pass\n", "has no Settings"),
        ("rules/empty.py", "Settings = 3\n", "has no decide"),
        ("rules/other.py", "Settings = 3\ndef decide(a, b, c):\n    pass\n", "Settings must be derived from"),
        ("methods/greedy.py", METHOD, "the name greedy is taken by one of goodsubnet's own methods"),
        ("architectures/again.py", ARCHITECTURE.replace('"three"', '"resnet8"'), "the architecture resnet8 is"),
        ("sources/two.py", "from beside import x\n", "imports beside, a file beside it"),
        ("methods/not-a-name.py", METHOD, "not-a-name is not a name that Python can import"),
    ],
)
def test_a_plug_in_that_is_wrong_is_told_before_any_job(plugged: Project, name: str, text: str, said: str) -> None:
    put(plugged, {name: text, "sources/beside.py": SOURCE} if "beside" in text else {name: text})
    result = plugged.snakemake(check=False)
    assert result.returncode != 0
    (line,) = [line for line in result.stdout.splitlines() if said in line]
    assert f"config/plugins/{name}" in line
    assert "Traceback" not in result.stdout
    assert not (plugged.folder / "results").exists()
