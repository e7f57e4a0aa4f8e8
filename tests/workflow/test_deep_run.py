"""A deep network's chain on real digits, from images to Table 1, and what a changed setting would run again."""

import copy
import csv
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from chain import Chain
from deep_jobs import CHECKPOINTS, CONFIGURATION, METHODS, SIZES, experiment
from free_jobs import read_json
from project import Project
from torch import Tensor, nn

from goodsubnet.networks.files import load
from goodsubnet.runtime import artifacts
from goodsubnet.settings import load_configuration

PARTS = ["train", "validation", "test"]
JUDGED = {"answers": 1, "draw_answers": 1, "stopping": 1, "draw_stopping": 1, "claims": 1, "verdict": 1}
TABLES = {"plan": 1, "collect": 1, "required_pretraining": 1, "accuracy_table": 1, "draw_accuracy": 1, **JUDGED}
CELLS = len(CHECKPOINTS) * len(SIZES) * len(METHODS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of all but the report of the experiment, on code of its own, which nobody edits meanwhile."""
    torch.set_num_threads(1)
    project = Project.with_own_code(tmp_path_factory.mktemp("deep"))
    project.settings = copy.deepcopy(CONFIGURATION)
    wanted = ["figures/accuracy.png", "required_pretraining.csv", "tables/accuracy.csv"]
    project.snakemake("results/report.html", *(f"results/small/{name}" for name in wanted))
    return project


@pytest.fixture(scope="module")
def rows(run: Project) -> list[dict[str, str]]:
    with open(run.folder / "results/small/evaluations.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def examples(run: Project) -> Callable[[int, str], tuple[Tensor, Tensor]]:
    """Images in [0, 1] and labels, of a size of sub-dataset and a part of it."""
    data = artifacts.map_tensors(run.folder / "results/data/digits/images.safetensors")

    def images_of(size: int, part: str) -> tuple[Tensor, Tensor]:
        subset = artifacts.map_tensors(run.folder / f"results/small/subset/examples-{size}/seed-0.safetensors")
        chosen = {"train": subset["indices"], "validation": subset["validation"], "test": slice(None)}[part]
        stored = "test" if part == "test" else "train"
        pixels, labels = data[f"{stored}_images"][chosen], data[f"{stored}_labels"][chosen]
        return torch.tensor(pixels).float() / 16, torch.tensor(labels)

    return images_of


def network(run: Project, stage: str, row: dict[str, str]) -> tuple[nn.Module, dict]:
    """What a stage stored for a row, and its description."""
    place = stage if stage == "pretrain" else f"{stage}/{row['method']}"
    cell = f"thin/examples-{row['examples']}/seed-0/iteration-{row['iteration']}.safetensors"
    return load(run.folder / "results/small" / place / cell)


@torch.no_grad()
def outputs(stored: nn.Module, images: Tensor) -> Tensor:
    return torch.cat([stored(batch) for batch in images.split(256)])


def test_the_table_is_tidy_and_whole(rows: list[dict[str, str]]) -> None:
    cells = {(row["network"], int(row["examples"]), int(row["iteration"]), row["method"]) for row in rows}
    assert cells == set(itertools.product(["thin"], SIZES, CHECKPOINTS, METHODS))
    assert len(rows) == CELLS
    measured = [f"{kind}{part}_accuracy" for kind in ("", "pruned_", "dense_") for part in PARTS]
    measured += [f"{kind}{part}_loss" for kind in ("", "dense_") for part in PARTS]
    measured += ["flops_ratio", "params_ratio", "multiply_adds", "parameters", "seconds"]
    measured += ["latency_ratio_1", "latency_ratio_128"]
    for row in rows:
        assert all(np.isfinite(float(row[name])) for name in measured)
        assert (row["tolerance"] != "") == (row["method"] == "greedy")
        assert row["width"] == ""


def test_each_accuracy_and_loss_is_that_of_the_stored_network(run: Project, rows: list, examples: Callable) -> None:
    stages = {"": "finetune", "pruned_": "prune", "dense_": "pretrain"}
    for row, (kind, stage), part in itertools.product(rows, stages.items(), PARTS):
        images, labels = examples(int(row["examples"]), part)
        logits = outputs(network(run, stage, row)[0], images).double()
        best = logits.topk(2).values
        # Logits within rounding of one another may be in either order.
        unsure = (best[:, 0] - best[:, 1] < 1e-4).double().mean().item()
        right = (logits.argmax(1) == labels).double().mean().item()
        assert abs(float(row[f"{kind}{part}_accuracy"]) - right) <= unsure + 1e-12
        if kind != "pruned_":
            loss = (logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]).mean().item()
            assert float(row[f"{kind}{part}_loss"]) == pytest.approx(loss, rel=1e-4)


def cost(stored: nn.Module, image: list[int]) -> tuple[int, int]:
    """Multiply-adds of an image, counted by hooks, and parameters."""
    count = 0

    def add(module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        nonlocal count
        # Each output number is a sum over the weights that make it.
        count += output[0].numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in stored.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    outputs(stored, torch.zeros(1, *image))
    for hook in hooks:
        hook.remove()
    return count, sum(parameter.numel() for parameter in stored.parameters())


def test_costs_are_those_of_the_stored_networks(run: Project, rows: list) -> None:
    for row in rows:
        image = network(run, "finetune", row)[1]["image"]
        small, large = (cost(network(run, stage, row)[0], image) for stage in ("finetune", "pretrain"))
        assert (int(row["multiply_adds"]), int(row["parameters"])) == small
        assert float(row["flops_ratio"]) == pytest.approx(small[0] / large[0])
        assert float(row["params_ratio"]) == pytest.approx(small[1] / large[1])


def test_a_pruned_network_is_the_masked_checkpoint(run: Project, rows: list, examples: Callable) -> None:
    """Channels times C * multiplicity / steps where the next convolution reads them, zero for those not chosen."""
    shrunk = 0
    for row in rows:
        images = examples(int(row["examples"]), "test")[0][:50].double()
        dense, _ = network(run, "pretrain", row)
        pruned, description = network(run, "prune", row)
        for layer in description["pruning"]["layers"]:
            gains = torch.zeros(layer["channels"], 1, 1, dtype=torch.float64)
            gains[layer["kept"], 0, 0] = torch.tensor(layer["gains"], dtype=torch.float64)
            reader = dense.get_submodule(layer["name"].replace("conv1", "conv2"))
            reader.register_forward_pre_hook(lambda _, inputs, gains=gains: (inputs[0] * gains,))
            shrunk += len(layer["kept"]) < layer["channels"]
            assert pruned.get_submodule(layer["name"]).out_channels == len(layer["kept"])
        torch.testing.assert_close(
            outputs(pruned.double(), images), outputs(dense.double(), images), rtol=1e-5, atol=1e-5
        )
    assert shrunk >= CELLS


def test_baselines_keep_as_many_channels_of_each_layer(run: Project, rows: list) -> None:
    for row in rows:
        widths = {}
        for method in METHODS:
            layers = network(run, "prune", {**row, "method": method})[1]["pruning"]["layers"]
            widths[method] = {layer["name"]: len(layer["kept"]) for layer in layers}
        assert widths["greedy"] == widths["magnitude"]
        assert len(widths["greedy"]) == 3


def test_one_tolerance_serves_all_checkpoints_of_a_network(run: Project, rows: list) -> None:
    for size in SIZES:
        path = f"results/small/calibrate/greedy/thin/examples-{size}/seed-0.json"
        found = read_json(run.folder / path)
        mine = [row for row in rows if row["examples"] == str(size) and row["method"] == "greedy"]
        assert {float(row["tolerance"]) for row in mine} == {found["tolerance"]}
        (last,) = [row for row in mine if row["iteration"] == str(CHECKPOINTS[-1])]
        assert float(last["flops_ratio"]) == pytest.approx(found["flops_ratio"])
        assert float(last["params_ratio"]) == pytest.approx(found["params_ratio"])


def test_tables_and_figure_are_there(run: Project, rows: list) -> None:
    folder = run.folder / "results/small"
    assert (folder / "figures/accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figures/accuracy.pdf").read_bytes().startswith(b"%PDF")
    assert "digits" in (folder / "tables/accuracy.md").read_text()
    assert r"\toprule" in (folder / "tables/accuracy.tex").read_text()
    measured = {(row["examples"], row["iteration"], row["method"]): float(row["test_accuracy"]) for row in rows}
    with open(folder / "tables/accuracy.csv") as file:
        table = {(row["examples"], row["iteration"], row["method"]): row for row in csv.DictReader(file)}
    assert table.keys() == measured.keys()
    for key, row in table.items():
        assert float(row["mean"]) == pytest.approx(measured[key], rel=1e-5)
    with open(folder / "required_pretraining.csv") as file:
        assert len(list(csv.DictReader(file))) == len(SIZES) * len(METHODS)


def plan_with(run: Project, change: Callable[[dict], object]) -> dict[str, int]:
    """What a dry run would do if the settings were changed."""
    changed = Project(run.folder)
    changed.code, changed.settings = run.code, copy.deepcopy(run.settings)
    change(changed.settings)
    return changed.plan()


PRUNED_AGAIN = {"prune": CELLS, "finetune": CELLS, "evaluate": CELLS, **TABLES}
LONGER = len(SIZES) * len(METHODS) * (len(CHECKPOINTS) + 1)


@pytest.mark.parametrize(
    ("change", "plan"),
    [
        (lambda settings: None, {}),
        (
            lambda settings: experiment(settings)["pretrain"].update(schedule_iterations=500),
            {
                **{"pretrain": len(SIZES) * len(CHECKPOINTS), "calibrate": len(SIZES), **PRUNED_AGAIN},
                **{"observe": len(SIZES) * len(CHECKPOINTS), "plan": 2},
            },
        ),
        # The tolerance is found on the last checkpoint, so that all are pruned again, but none is trained again.
        (
            lambda settings: experiment(settings)["pretrain"].update(iterations=160, checkpoints=[*CHECKPOINTS, 160]),
            {
                **{"pretrain": len(SIZES), "calibrate": len(SIZES)},
                **{"prune": LONGER, "finetune": LONGER, "evaluate": LONGER, **TABLES},
                **{"observe": len(SIZES), "plan": 2},
            },
        ),
        (
            lambda settings: settings["methods"]["greedy"].update(flops_ratio=0.7),
            {"calibrate": len(SIZES), **PRUNED_AGAIN},
        ),
        (
            lambda settings: experiment(settings)["finetune"].update(learning_rate=0.02),
            {"finetune": CELLS, "evaluate": CELLS, **TABLES},
        ),
        (
            lambda settings: experiment(settings).update(methods=[*METHODS, "random"]),
            {"prune": CELLS // 2, "finetune": CELLS // 2, "evaluate": CELLS // 2, **TABLES},
        ),
        (
            lambda settings: settings.update(figures={"colormap": "cividis"}),
            {"draw_accuracy": 1, "draw_answers": 1, "draw_stopping": 1, "verdict": 1},
        ),
    ],
    ids=[
        *("nothing", "a longer schedule", "more iterations", "another flops_ratio"),
        *("fine-tuning", "a new method", "colours"),
    ],
)
def test_only_what_changed_runs_again(run: Project, change: Callable, plan: dict[str, int]) -> None:
    assert plan_with(run, change) == plan


def test_with_a_constant_rate_more_iterations_change_no_segment() -> None:
    def settings_with(**pretrain: object) -> str:
        settings = copy.deepcopy(CONFIGURATION)
        experiment(settings)["pretrain"] |= {"schedule": "constant", "schedule_iterations": None, **pretrain}
        return Chain(load_configuration(settings)).settings("pretrain", {"experiment": "small", "network": "thin"})

    assert settings_with(iterations=9000, checkpoints=[*CHECKPOINTS, 9000]) == settings_with()
    assert settings_with(learning_rate=0.04) != settings_with()


def test_a_title_changes_the_table_alone() -> None:
    settings = copy.deepcopy(CONFIGURATION)
    chains = []
    for title in ("Pets", "Cats"):
        settings["datasets"]["digits"] = {"source": "folder", "path": "pets", "size": [8, 8], "title": title}
        chains.append(Chain(load_configuration(settings)))
    stages = {
        "prepare": {"dataset": "digits"},
        "subset": {"experiment": "small"},
        "pretrain": {"experiment": "small", "network": "thin"},
        "accuracy_table": {"experiment": "small"},
    }
    different = [
        stage for stage, names in stages.items() if len({chain.settings(stage, names) for chain in chains}) > 1
    ]
    assert different == ["accuracy_table"]
