"""Table 2's chain: images read from their files; and which images each job may see."""

import copy
import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from deep_jobs import CONFIGURATION, GREEDY, Jobs, folder_chain, pets, tensors
from free_jobs import FreeJob as Job
from project import Project

from goodsubnet.data.files import unpack
from goodsubnet.errors import UserError
from goodsubnet.networks.files import load
from goodsubnet.runtime import artifacts

CHECKPOINTS = [10, 30]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("files"))
    pets(project.folder / "data/pets", sizes=6)
    project.settings = copy.deepcopy(CONFIGURATION)
    project.settings["readers"] = 1
    project.settings["datasets"] = {
        "pets": {
            **{"source": "folder", "path": "pets", "channels": 3, "size": [32, 32], "storage": "files"},
            "title": "Pets & more",
        }
    }
    project.settings["methods"]["greedy"] = {"algorithm": "layer_greedy", "tolerance": 0.1, "batch_size": 8}
    project.experiment.update(dataset="pets", examples=[24], methods=["greedy"], paper_table="table2")
    project.experiment["validation_share"] = 0.25
    project.experiment["pretrain"].update(
        **{"iterations": 30, "checkpoints": CHECKPOINTS, "batch_size": 6, "schedule_iterations": 30},
        augmentation={"scale": [0.2, 1.0]},
    )
    project.experiment["finetune"].update(iterations=2, batch_size=6)
    project.snakemake("results/small/tables/accuracy.csv")
    return project


def test_accuracies_are_those_of_the_files(run: Project) -> None:
    """Decoded, resized and cut out by PIL alone."""
    from PIL import Image

    def pixels_of(name: str) -> np.ndarray:
        image = Image.open(run.folder / "data/pets" / name)
        short = round(32 * 256 / 224)
        scale = short / min(image.size)
        sizes = [short if side == min(image.size) else int(side * scale) for side in image.size]
        image = image.resize(sizes, Image.Resampling.BILINEAR)
        left, top = (round((side - 32) / 2) for side in sizes)
        return np.asarray(image.crop((left, top, left + 32, top + 32))).transpose(2, 0, 1) / 255

    data = artifacts.map_tensors(run.folder / "results/data/pets/images.safetensors")
    subset = artifacts.map_tensors(run.folder / "results/small/subset/examples-24/seed-0.safetensors")
    assert (len(subset["indices"]), len(subset["validation"])) == (18, 6)
    names = {part: unpack(data[f"{part}_files"]) for part in ("train", "test")}
    with open(run.folder / "results/small/evaluations.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == CHECKPOINTS
    parts = {"train": subset["indices"], "validation": subset["validation"], "test": range(12)}
    for row in rows:
        stored = run.folder / "results/small/finetune/greedy/thin/examples-24/seed-0"
        network, description = load(stored / f"iteration-{row['iteration']}.safetensors")
        assert description["image"] == [3, 32, 32]
        for part, indices in parts.items():
            source = "test" if part == "test" else "train"
            images = torch.tensor(np.array([pixels_of(names[source][index]) for index in indices]), dtype=torch.float32)
            labels = torch.tensor(data[f"{source}_labels"][np.array(indices)])
            with torch.no_grad():
                logits = network(images).double()
            loss = torch.nn.functional.cross_entropy(logits, labels).item()
            assert float(row[f"{part}_loss"]) == pytest.approx(loss, rel=1e-3)


def test_the_table_counts_epochs_and_has_the_datas_title(run: Project) -> None:
    text = (run.folder / "results/small/tables/accuracy.md").read_text()
    assert "Pets & more" in text
    assert "epochs" in text
    # A network of another width is not the paper's, so nothing of the paper stands beside it.
    with open(run.folder / "results/small/tables/accuracy.csv") as file:
        assert {row["paper_mean"] for row in csv.DictReader(file)} == {""}


def test_a_resumed_run_sees_the_same_images_whatever_the_number_of_readers(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    pets(tmp_path / "pets", sizes=6)
    chain = folder_chain(tmp_path)
    chain.prepare()
    chain.subset(24)
    straight = chain.pretrain("straight", 6)
    # Without augmentation another network comes out, so the images do differ.
    plain = Jobs(tmp_path, pretrain={**chain.settings["pretrain"], "augmentation": None})
    assert plain.pretrain("plain", 6).read_bytes() != straight.read_bytes()
    chain.machine += ["--readers", "1"]
    first = chain.pretrain("first", 4)
    chain.machine += ["--readers", "2"]
    assert chain.pretrain("second", 6, first).read_bytes() == straight.read_bytes()


def test_readers_and_processes_together(tmp_path: Path) -> None:
    """A process that shares the batches has readers of its own."""
    torch.set_num_threads(1)
    pets(tmp_path / "pets", sizes=6)
    chain = folder_chain(tmp_path)
    chain.prepare()
    chain.subset(24)
    chain.settings["pretrain"]["processes"] = 2
    chain.machine += ["--readers", "1"]
    assert chain.pretrain("together", 2).exists()


def spoilt(chain: Jobs, folder: Path, **changed: np.ndarray) -> Jobs:
    """A chain in another folder, with other tensors in its data."""
    other = Jobs(folder, **chain.settings)
    other.indices = chain.indices
    with Job("prepare", other.data, {}, {}) as job:
        job.save_tensors({**tensors(chain.data), **changed})
    return other


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """A chain on digits with a fifth held out, pruned and fine-tuned."""
    torch.set_num_threads(1)
    chain = Jobs(tmp_path_factory.mktemp("measured"), subset={"validation_share": 0.2})
    chain.settings["prune"]["method"] = {**GREEDY, "finetune_iterations": 2}
    chain.settings["calibrate"]["method"] = {**GREEDY, "tolerance": None, "flops_ratio": 0.5, "flops_margin": 0.4}
    chain.prepare()
    chain.subset(100)
    everything(chain)
    return chain


def everything(chain: Jobs) -> dict[str, bytes]:
    """Contents of what all jobs but the evaluation make."""
    dense = chain.pretrain("dense", 20)
    tolerance = chain.calibrate("tolerance", dense)
    subnetwork = chain.prune("pruned", dense)
    finetuned = chain.finetune("finetuned", subnetwork)
    return {path.parent.name: path.read_bytes() for path in (dense, tolerance, subnetwork, finetuned)}


def test_held_out_examples_are_trained_and_pruned_on_by_nobody(measured: Jobs, tmp_path: Path) -> None:
    subset = tensors(measured.indices)
    held_out = subset["validation"]
    assert len(held_out) == 20
    assert not set(held_out) & set(subset["indices"])
    images = tensors(measured.data)["train_images"].copy()
    images[held_out] = 16 - images[held_out]
    other = spoilt(measured, tmp_path, train_images=images)
    before = {path.name: (path / "x.safetensors") for path in measured.folder.iterdir() if path.is_dir()}
    for name, content in everything(other).items():
        path = before[name].with_suffix(".json") if name == "tolerance" else before[name]
        assert content == path.read_bytes()
    rows = [
        chain.evaluate("row", chain.folder / "pruned/x.safetensors", chain.folder / "finetuned/x.safetensors")
        for chain in (measured, other)
    ]
    assert rows[0]["train_loss"] == rows[1]["train_loss"]
    assert rows[0]["test_loss"] == rows[1]["test_loss"]
    assert rows[0]["validation_loss"] != rows[1]["validation_loss"]
    assert {"validation_accuracy", "pruned_validation_accuracy"} <= rows[0].keys()


def test_only_measuring_reads_the_test_set(measured: Jobs, tmp_path: Path) -> None:
    """Tolerance, selection and fine-tuning come out without any test set."""
    other = Jobs(tmp_path, **measured.settings)
    other.indices = measured.indices
    with Job("prepare", other.data, {}, {}) as job:
        job.save_tensors({name: each for name, each in tensors(measured.data).items() if not name.startswith("test")})
    dense = measured.folder / "dense/x.safetensors"
    for stage, output in (("calibrate", "tolerance"), ("prune", "pruned")):
        made = getattr(other, stage)(output, dense)
        assert made.read_bytes() == (measured.folder / output / made.name).read_bytes()
    finetuned = other.finetune("finetuned", measured.folder / "pruned/x.safetensors")
    assert finetuned.read_bytes() == (measured.folder / "finetuned/x.safetensors").read_bytes()
    with pytest.raises(KeyError, match="test"):
        other.evaluate("row", finetuned)


def test_files_of_the_test_set_are_read_when_measured_only(tmp_path: Path) -> None:
    pets(tmp_path / "pets")
    chain = folder_chain(tmp_path)
    chain.prepare()
    chain.subset(24)
    chain.settings["prune"]["method"] = {**GREEDY, "batch_size": 8}
    dense = chain.pretrain("dense", 6)
    shutil.rmtree(tmp_path / "pets/val")
    subnetwork = chain.prune("pruned", dense)
    finetuned = chain.finetune("finetuned", subnetwork)
    with pytest.raises(UserError, match=r"pets/val/cat/0.png' cannot be read as an image"):
        chain.evaluate("row", subnetwork, finetuned)
