"""The methods that stand beside greedy selection, through the real chain, and the comparison of methods."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from project import Project
from test_plans import edit

from goodsubnet.data.inputs import network_inputs
from goodsubnet.networks.two_layer import subnetwork_forward
from goodsubnet.runtime import artifacts
from goodsubnet.training.losses import mean_loss, targets_of

METHODS = {
    "backward": {"algorithm": "greedy_backward", "steps": 6},
    "searched": {"algorithm": "greedy_line_search", "steps": 6},
    "corrected": {"algorithm": "greedy_fully_corrective", "distinct": 4},
    "iterative": {"algorithm": "iterative_magnitude", "steps": 6, "rounds": 2, "iterations": 10, "batch_size": 16},
}
CELL = "width-20/examples-40/seed-0/iteration-20"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.with_own_code(tmp_path_factory.mktemp("methods"))
    made.settings["methods"] = METHODS
    made.experiment.update(methods=list(METHODS), examples=[40])
    made.experiment["pretrain"].update(checkpoints=[20])
    made.snakemake()
    return made


@pytest.fixture
def run(finished: Project, tmp_path: Path) -> Project:
    return finished.copied(tmp_path / "run")


def rows(run: Project, name: str) -> list[dict[str, str]]:
    with open(run.folder / f"results/small/{name}.csv") as file:
        return list(csv.DictReader(file))


def test_the_table_has_the_trace_of_every_method(finished: Project) -> None:
    table = rows(finished, "methods")
    assert {row["method"] for row in table} == set(METHODS)
    for method in METHODS:
        stored = artifacts.map_tensors(finished.folder / f"results/small/prune/{method}/{CELL}.safetensors")
        part = [row for row in table if row["method"] == method]
        for column, name in (("size", "sizes"), ("loss", "losses"), ("passes", "passes")):
            np.testing.assert_allclose([float(row[column]) for row in part], stored[name], rtol=1e-7)


def test_each_evaluation_is_that_of_the_stored_subnetwork_alone(finished: Project) -> None:
    data = artifacts.map_tensors(finished.folder / "results/data/digits/images.safetensors")
    x = network_inputs(data["test_images"], 16, "unit_range")
    y = targets_of(data["test_labels"], "logistic")
    table = {row["method"]: row for row in rows(finished, "evaluations")}
    traces = rows(finished, "methods")
    for method in METHODS:
        stored = artifacts.map_tensors(finished.folder / f"results/small/prune/{method}/{CELL}.safetensors")
        loss = mean_loss(subnetwork_forward(stored, stored["share"], x, "relu"), y, "logistic")
        assert float(table[method]["test_loss"]) == pytest.approx(loss, rel=1e-5)
        last = [row for row in traces if row["method"] == method][-1]
        assert float(table[method]["train_loss"]) == pytest.approx(float(last["loss"]), rel=1e-4)
        assert table[method]["distinct"] == last["size"]


def test_only_training_changes_weights(finished: Project) -> None:
    dense = artifacts.map_tensors(finished.folder / f"results/small/pretrain/{CELL}.safetensors")
    for method in METHODS:
        stored = artifacts.map_tensors(finished.folder / f"results/small/prune/{method}/{CELL}.safetensors")
        same = np.array_equal(stored["a"], dense["a"][stored["distinct_neurons"]])
        assert same == (method != "iterative")


def test_the_figure_is_there_and_in_the_report(finished: Project) -> None:
    folder = finished.folder / "results/small"
    assert (folder / "figures/methods.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figures/methods.pdf").read_bytes().startswith(b"%PDF")
    assert "All pruning methods at equal size" in (folder / "report.html").read_text()


def test_what_a_change_makes_anew(run: Project) -> None:
    assert run.plan() == {}
    tables = {"plan": 2, "collect": 1, "required_pretraining": 1, "draw_figure1": 1, "draw_curves": 1}
    tables |= {"answers": 1, "draw_answers": 1, "claims": 1}
    compared = {"compare_methods": 1, "draw_methods": 1, "verdict": 1}
    run.settings["methods"]["iterative"]["rounds"] = 3
    assert run.plan() == {"prune": 1, "evaluate": 1, **tables, **compared}
    run.settings["methods"]["iterative"]["rounds"] = 2
    edit(run.code / "src/goodsubnet/results/comparison.py", "MOST_POINTS = 200", "MOST_POINTS = 100")
    assert run.plan() == compared
    edit(run.code / "src/goodsubnet/results/comparison.py", "MOST_POINTS = 100", "MOST_POINTS = 200")
    # What the two methods with weights run, and no other.
    edit(run.code / "src/goodsubnet/selection/convex.py", "looked < 200", "looked < 100")
    assert run.plan() == {"prune": 2, "evaluate": 2, **tables, **compared}


def test_stale_subnetworks_reach_no_comparison(run: Project) -> None:
    shutil.rmtree(run.folder / ".snakemake")
    edit(run.code / "src/goodsubnet/selection/backward.py", "left, losses = np.ones", "left, losses = 1 * np.ones")
    before = (run.folder / "results/small/methods.csv").stat().st_mtime_ns
    result = run.snakemake("--keep-going", check=False)
    assert result.returncode != 0
    stale = f"results/small/prune/backward/{CELL}.safetensors"
    assert f"{stale}: made with code" in result.stdout
    assert (run.folder / "results/small/methods.unfit.txt").read_text() == f"{stale}\n"
    table = run.folder / "results/small/methods.csv"
    assert not table.exists() or table.stat().st_mtime_ns == before
