"""Bad input: one clear message with the key or file and what to do, before any job where it can be known."""

import json
import os
import subprocess

import numpy as np
import pytest
from project import SMALL, Project


def refused(project: Project, *arguments: str) -> str:
    """What Snakemake says when it refuses; no job may have started, and nobody sees a traceback."""
    result = project.snakemake("-n", *arguments, check=False)
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    assert not (project.folder / "results").is_dir()
    return result.stdout


def test_misspelt_key(project: Project) -> None:
    project.experiment["pretrain"]["lerning_rate"] = project.experiment["pretrain"].pop("learning_rate")
    said = refused(project)
    assert "experiments.small.pretrain.lerning_rate: unknown key; did you mean learning_rate?" in said
    assert "experiments.small.pretrain.learning_rate: is missing" in said


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("experiments", "small", "seeds"), ["one"], "experiments.small.seeds.0: input should be a valid integer"),
        (("experiments", "small", "seeds"), [0, 0], "experiments.small.seeds: 0 stands there more than once"),
        (("experiments", "small", "examples"), [25], "examples: 25 asked with equal shares of 10 classes"),
        (("experiments", "small", "examples"), [9000], "experiments.small.examples: 9000 asked"),
        (("experiments", "small", "networks"), ["wide"], "'wide' is not under `networks` (there: width-20)"),
        (("experiments", "small", "pretrain", "checkpoints"), [0, 20, 10], "checkpoints must rise"),
        (("experiments", "small", "pretrain", "checkpoints"), [0, 40], "checkpoint 40 lies beyond iterations = 20"),
        (("experiments", "small", "pretrain", "checkpoints"), {"every": 7}, "iterations = 20 is not a multiple of"),
        (("experiments", "small", "pretrain", "loss"), "hinge", "input should be 'logistic' or 'squared', got 'hinge'"),
        (("methods", "random"), {"algorithm": "random", "steps": 21}, "method random asks for 21 distinct neurons"),
        (("methods", "random"), {"algorithm": "lucky", "steps": 1}, "is not one of greedy, greedy_backward"),
        (("methods", "random"), {"algorithm": "random"}, "give either steps or distinct"),
        (("datasets", "digits", "groups"), [["0"], ["1"]], "class '2' is in neither group"),
        (("datasets", "digits", "groups"), None, "tells two labels apart, and there are 10 classes; give two lists"),
        (
            ("datasets", "digits", "source"),
            "letters",
            "source 'letters' is not one of cifar10, digits, folder, mnist",
        ),
        (("targets",), ["large"], "targets: 'large' is not under `experiments`"),
        (("figures",), {"red_line": "bluu"}, "red_line is 'bluu'; it must be a Matplotlib colour"),
        (("experiments", "small", "pretrain", "checkpoints"), {"at": [0]}, "a rising list of iterations"),
        (
            ("experiments", "small", "pretrain", "learning_rate"),
            {"stable": 1},
            "learning_rate.stable_fraction: is missing",
        ),
        (("experiments", "small", "pretrain", "learning_rate"), {"stable_fraction": 0.1}, "set batch_size: full"),
        (("theory",), {"certificate_margin": 0}, "theory.certificate_margin: input should be greater than 0"),
        (
            ("random_matrices",),
            {"smallest_singular_values": {"examples": [5000]}},
            "no width is 10 times 5000 examples",
        ),
        (("experiments", "random_matrices"), SMALL["experiments"]["small"], "random_matrices: this name is taken"),
        (("device",), "cuda", "device: cuda asked, but there is no GPU here"),
    ],
)
def test_wrong_values(project: Project, monkeypatch: pytest.MonkeyPatch, keys: tuple, value: object, said: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    entry = project.settings
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    assert said in refused(project)


def test_results_that_cannot_be_written(project: Project) -> None:
    (project.folder / "file").write_text("")
    project.settings["results_dir"] = "file"
    assert "results_dir: file is not a folder" in refused(project)


def test_a_folder_that_is_not_there(project: Project) -> None:
    project.settings["datasets"]["digits"] = {"source": "folder", "path": "my images"}
    assert "my images" in refused(project)


def images(folder, counts: dict[str, int]) -> None:
    """A folder of 4 x 4 grey images, bright where the class says so."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for number, (name, count) in enumerate(counts.items()):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 100, (4, 4)) + 120 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name / f"{index}.png")


def test_own_images_in_folders_with_spaces_and_quotes(project: Project) -> None:
    images(project.folder / "my 'own' data/cats & \"dogs\"", {"a cat's": 12, 'the "dog"': 30})
    project.settings.update({"data_dir": "my 'own' data", "results_dir": "the 'results'"})
    project.settings["datasets"] = {"pets": {"source": "folder", "path": 'cats & "dogs"'}}
    project.experiment.update({"dataset": "pets", "examples": [14], "shares": "data", "methods": ["greedy"]})
    project.snakemake()
    rows = (project.folder / "the 'results'/small/evaluations.csv").read_text().splitlines()
    assert len(rows) == 1 + 3
    assert project.plan() == {}
    project.experiment.update({"shares": "equal", "examples": [26]})
    assert "the smallest class (a cat's) has only 12 training examples" in project.snakemake("-n", check=False).stdout


def test_a_damaged_image_is_named(project: Project) -> None:
    images(project.folder / "data/pets", {"cat": 4, "dog": 4})
    damaged = project.folder / "data/pets/test/dog/2.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    project.settings["datasets"] = {"pets": {"source": "folder", "path": "pets"}}
    project.experiment.update({"dataset": "pets", "examples": [4]})
    result = project.snakemake(check=False)
    assert result.returncode != 0
    assert "2.png" in result.stdout
    assert "cannot be read as an image" in result.stdout
    assert "Traceback" not in result.stdout
    assert not list(project.folder.glob("results/data/pets/*"))


def test_a_rate_that_diverges(project: Project) -> None:
    project.experiment["pretrain"]["learning_rate"] = 1e30
    result = project.snakemake(check=False)
    assert result.returncode != 0
    assert "the training diverged: the loss is" in result.stdout
    assert "lower the learning_rate" in result.stdout
    assert "Traceback" not in result.stdout
    assert not list(project.folder.glob("results/small/pretrain/**/iteration-20.*"))


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(project: Project) -> None:
    """Results on a disk of 200 kB, too small for the run: a clear line, and nothing half-written."""
    results = project.folder / "results"
    results.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(results)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        result = project.snakemake(check=False)
        assert result.returncode != 0
        assert "No space left on device" in result.stdout
        assert "Traceback" not in result.stdout
        assert not list(results.glob("**/*.tmp"))
        for path in results.glob("**/*.provenance.json"):
            recorded = json.loads(path.read_text())
            for name, facts in recorded["outputs"].items():
                assert path.with_name(name).stat().st_size == facts["bytes"]
    finally:
        subprocess.run(["umount", str(results)], check=True)
