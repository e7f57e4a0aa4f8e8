"""The theory through the real chain: numbers recomputed from the files alone, and what a change makes anew."""

import csv
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from project import Project
from scipy.spatial.distance import pdist
from test_plans import edit

from goodsubnet.networks.two_layer import neuron_outputs
from goodsubnet.runtime import artifacts

GRIDS = {
    "smallest_singular_values": {"examples": [5, 8], "inputs": [4], "widths": [80, 120, 160], "draws": 2},
    "condition_numbers": {"examples": [5, 10], "widths": [5, 20], "draws": 2},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project.with_own_code(tmp_path_factory.mktemp("theory"))
    made.settings["targets"] = ["small", "random_matrices"]
    made.settings["random_matrices"] = GRIDS
    made.settings["networks"] = {
        "tanh": {"kind": "two_layer", "width": 60, "activation": "tanh", "initialisation": "unit"},
        "narrow": {"kind": "two_layer", "width": 15, "activation": "tanh", "initialisation": "unit"},
    }
    made.settings["methods"]["greedy"]["steps"] = 20
    made.experiment.update(networks=["tanh", "narrow"], methods=["greedy", "random"], examples=[20, 30])
    made.experiment["pretrain"] = {
        "loss": "squared",
        "inputs": "unit_length",
        "iterations": 60,
        "checkpoints": [0, 20, 60],
        "batch_size": "full",
        "learning_rate": {"stable_fraction": 0.2},
    }
    made.snakemake()
    return made


@pytest.fixture
def run(finished: Project, tmp_path: Path) -> Project:
    return finished.copied(tmp_path / "run")


def rows(run: Project, name: str) -> list[dict[str, str]]:
    with open(run.folder / "results" / name) as file:
        return list(csv.DictReader(file))


def cell(row: dict[str, str]) -> str:
    return f"{row['network']}/examples-{row['examples']}/seed-{row['seed']}/iteration-{row['iteration']}"


def outputs_of(run: Project, row: dict[str, str], iteration: str | None = None) -> tuple[np.ndarray, np.ndarray, dict]:
    """Outputs of the neurons (float32, as the selection saw them, in float64), labels, and the weights."""
    folder = run.folder / "results/small"
    data = artifacts.map_tensors(run.folder / "results/data/digits/images.safetensors")
    subset = artifacts.map_tensors(folder / f"subset/examples-{row['examples']}/seed-{row['seed']}.safetensors")
    at = row if iteration is None else {**row, "iteration": iteration}
    weights = artifacts.map_tensors(folder / f"pretrain/{cell(at)}.safetensors")
    x = data["train_images"][subset["indices"]].reshape(int(row["examples"]), -1).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = 2.0 * data["train_labels"][subset["indices"]] - 1
    weights = {name: np.array(weights[name]) for name in "ab"}
    return neuron_outputs(weights, x, "tanh").astype(np.float64), y, {**weights, "x": x.astype(np.float64)}


def test_every_term_is_that_of_the_files(finished: Project) -> None:
    table = rows(finished, "small/theory/bounds.terms.csv")
    assert len(table) == 2 * 2 * 3
    for row in table:
        phi, y, weights = outputs_of(finished, row)
        _, _, initial = outputs_of(finished, row, "0")
        m, f = len(y), phi.mean(axis=1)
        moved = np.sqrt(((weights["a"] - initial["a"]) ** 2).sum(1) + (weights["b"] - initial["b"]) ** 2)
        expected = {
            "dense_loss": ((f - y) ** 2).mean() / 2,
            "trivial_loss": y.var() / 2,
            "first_loss": ((phi - y[:, None]) ** 2).mean(0).min() / 2,
            "variance": phi.var(axis=1).mean(),
            "squared_diameter": pdist(phi.T).max() ** 2 / m,
            "mean_movement": moved.mean(),
            "largest_movement": moved.max(),
            "initial_length": np.sqrt((initial["a"] ** 2).sum(1) + initial["b"] ** 2).mean(),
        }
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, rel=1e-5, abs=1e-12), name


def test_the_spectrum_stands_at_initialisation_alone_and_only_where_it_is_defined(finished: Project) -> None:
    for row in rows(finished, "small/theory/bounds.terms.csv"):
        said = row["condition_number"]
        if row["network"] == "narrow":
            assert said == "not applicable (more examples than neurons)"
        elif row["iteration"] != "0":
            assert said == "not applicable (defined at initialisation)"
        else:
            _, _, weights = outputs_of(finished, row)
            values = np.linalg.svd(np.tanh(weights["x"] @ weights["a"].astype(np.float64).T), compute_uv=False)
            assert float(said) == pytest.approx(values[0] / values[-1], rel=1e-6)
            assert float(row["smallest_singular_value"]) == pytest.approx(values[-1], rel=1e-6)


def test_the_measured_losses_are_those_of_the_selected_neurons_and_no_bound_is_violated(finished: Project) -> None:
    table = rows(finished, "small/theory/bounds.csv")
    assert len(table) == 2 * 2 * 3 * 20
    for row in table[::7]:
        phi, y, _ = outputs_of(finished, row)
        path = finished.folder / f"results/small/prune/greedy/{cell(row)}.safetensors"
        neurons = artifacts.map_tensors(path)["neurons"][: int(row["step"])]
        loss = ((phi[:, neurons].mean(axis=1) - y) ** 2).mean() / 2
        assert float(row["measured"]) == pytest.approx(loss, rel=1e-5)
        bounds = [float(row[name]) for name in ("lemma1", "variance_form", "variance_recursion")]
        assert loss <= min(bounds) * (1 + 1e-5)
        assert bounds[2] <= bounds[1] * (1 + 1e-9)
    summary = rows(finished, "small/theory/bounds.violations.csv")
    assert {row["violations"] for row in summary} == {"0"}
    assert sum(int(row["pairs"]) for row in summary if row["bound"] == "lemma1") == len(table)


def test_the_step_is_the_asked_share_of_the_largest_stable_one(finished: Project) -> None:
    for row in rows(finished, "small/theory/bounds.terms.csv"):
        _, _, w = outputs_of(finished, row, "0")
        hidden = np.tanh(w["x"] @ w["a"].astype(np.float64).T)
        slope = (1 - hidden**2) * w["b"]
        kernel = (hidden @ hidden.T + (slope @ slope.T) * (w["x"] @ w["x"].T)) / len(w["b"])
        expected = 0.2 * 2 * len(hidden) / np.linalg.eigvalsh(kernel)[-1]
        assert float(row["learning_rate_per_neuron"]) == pytest.approx(expected, rel=1e-5)


def test_training_is_gradient_descent_with_that_step(finished: Project) -> None:
    """The last checkpoint from the first by 60 steps in float64."""
    row = next(row for row in rows(finished, "small/theory/bounds.terms.csv") if row["iteration"] == "60")
    _, y, w = outputs_of(finished, row, "0")
    _, _, trained = outputs_of(finished, row)
    a, b, width = w["a"].astype(np.float64), w["b"].astype(np.float64), len(w["b"])
    step = float(row["learning_rate_per_neuron"]) * width
    for _ in range(60):
        hidden = np.tanh(w["x"] @ a.T)
        residual = (hidden @ b / width - y) / len(y)
        slope = (1 - hidden**2) * residual[:, None] * b
        a, b = a - step * slope.T @ w["x"] / width, b - step * hidden.T @ residual / width
    assert np.abs(a - trained["a"]).max() < 1e-3
    assert np.abs(b - trained["b"]).max() < 1e-3


def test_certificates_and_thresholds_stand_in_their_tables(finished: Project) -> None:
    required = rows(finished, "small/required_pretraining.csv")
    said = {(row["network"], row["method"]): row["certificate"] for row in required}
    assert said["tanh", "random"] == "not applicable (the bound is of greedy selection in two-layer networks)"
    for row in required:
        if row["method"] == "greedy":
            assert row["certificate"] in ("0", "20", "60") or row["certificate"].startswith("not informative (")
            assert bool(row["certified_loss"]) == row["certificate"].isdigit()
    table = rows(finished, "small/theory/thresholds.csv")
    assert [(row["network"], row["examples"]) for row in table] == [
        *(("narrow", examples) for examples in ("20", "30")),
        *(("tanh", examples) for examples in ("20", "30")),
    ]
    assert all(row["predicted"] == "not applicable (more examples than neurons)" for row in table[:2])
    assert {row["law"] for row in rows(finished, "small/theory/thresholds.laws.csv")} == {
        "logarithmic",
        "power",
        "linear",
    }


def test_figures_2_and_3_come_with_their_tables_and_a_report(finished: Project) -> None:
    folder = finished.folder / "results/random_matrices"
    for number in (2, 3):
        assert (folder / f"figures/figure{number}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"figures/figure{number}.pdf").read_bytes().startswith(b"%PDF")
    assert "Figure 3" in (folder / "report.html").read_text()
    fits = rows(finished, "random_matrices/singular_values.fits.csv")
    assert [row["examples"] for row in fits] == ["5", "8"]
    for row in fits:
        assert float(row["low"]) <= float(row["exponent"]) <= float(row["high"])
    kappa = {
        (row["examples"], row["width"]): row["mean"] for row in rows(finished, "random_matrices/condition_numbers.csv")
    }
    assert kappa["10", "5"].startswith("not applicable (")
    assert math.isfinite(float(kappa["10", "20"]))


def test_what_a_change_makes_anew(run: Project) -> None:
    redrawn = {"draw_bounds": 1, "draw_terms": 1, "draw_thresholds": 1}
    judged = {"claims": 1, "verdict": 1}
    assert run.plan() == {}
    run.settings["theory"] = {"certificate_margin": 0.2}
    assert run.plan() == {"required_pretraining": 1}
    # The page of the verdict shows the figures.
    run.settings["theory"] = {"threshold_margin": 0.2}
    assert run.plan() == {"thresholds": 1, "draw_thresholds": 1, "verdict": 1}
    run.settings["theory"] = {"error": 0.02}
    assert run.plan() == {"bounds": 1, "required_pretraining": 1, "thresholds": 1, **redrawn, **judged}
    run.settings["theory"] = {}
    run.settings["random_matrices"]["smallest_singular_values"]["examples"] = [5, 6, 8]
    assert run.plan() == {"smallest_singular_values": 1, "singular_value_table": 1, "draw_figure2": 1, **judged}
    run.settings["random_matrices"] = GRIDS
    edit(run.code / "src/goodsubnet/theory/geometry.py", "total = np.zeros", "total = 0 + np.zeros")
    tables = {"plan": 2, "bounds": 1, "required_pretraining": 1, "thresholds": 1}
    # The certificate is of the same geometry.
    watched = {"observe": 12, "stopping": 1, "draw_stopping": 1}
    assert run.plan() == {"terms": 12, **tables, **redrawn, **watched, **judged}


def test_terms_of_other_code_reach_no_table_when_snakemakes_memory_is_lost(run: Project) -> None:
    shutil.rmtree(run.folder / ".snakemake")
    edit(run.code / "src/goodsubnet/theory/geometry.py", "total = np.zeros", "total = 0 + np.zeros")
    result = run.snakemake("--keep-going", check=False)
    assert result.returncode != 0
    assert "12 artifacts do not fit" in result.stdout
    assert "terms/greedy/tanh/examples-20/seed-0/iteration-0.json: made with code" in result.stdout
