"""A small configuration of deep networks, and the jobs of its chain called in this process as a rule calls them."""

import copy
import json
from pathlib import Path
from typing import Any

import adopt
import calibrate
import evaluate
import finetune
import numpy as np
import prepare
import pretrain
import prune
import subset
from free_jobs import read_json
from PIL import Image

from goodsubnet.runtime import artifacts
from goodsubnet.runtime.signals import Signals

CHECKPOINTS = [0, 40, 120]
SIZES = [100, 200]
METHODS = ["greedy", "magnitude"]
CONFIGURATION = {
    "targets": ["small"],
    "datasets": {"digits": {"source": "digits"}},
    "networks": {"thin": {"kind": "deep", "architecture": "resnet8", "form": "cifar", "width_multiplier": 0.5}},
    "methods": {
        "greedy": {
            **{"algorithm": "layer_greedy", "flops_ratio": 0.5, "flops_margin": 0.1},
            **{"probe_size": 128, "batch_size": 32},
        },
        "magnitude": {"algorithm": "layer_magnitude", "widths_from": "greedy"},
        "random": {"algorithm": "layer_random", "widths_from": "greedy"},
    },
    "experiments": {
        "small": {
            **{"dataset": "digits", "networks": ["thin"], "methods": METHODS, "examples": SIZES, "seeds": [0]},
            "validation_share": 0.2,
            "pretrain": {
                **{"loss": "cross_entropy", "iterations": CHECKPOINTS[-1], "checkpoints": CHECKPOINTS},
                **{"batch_size": 16, "learning_rate": 0.05, "schedule": "cosine", "schedule_iterations": 400},
                "augmentation": {"padding": 1, "flip": False},
            },
            "finetune": {"iterations": 20, "learning_rate": 0.01, "batch_size": 16},
        }
    },
}


ARCHITECTURE = {"kind": "deep", "architecture": "resnet8", "form": "cifar", "width_multiplier": 0.25}
SGD = {"batch_size": 16, "learning_rate": 0.05, "schedule": "constant", "momentum": 0.9, "weight_decay": 5e-4}
VARIED = {"augmentation": {"padding": 1, "flip": True}, "precision": "float32"}
MACHINE = {"threads": 1, "deterministic": True}
GREEDY = {
    **{"algorithm": "layer_greedy", "tolerance": 0.3, "flops_ratio": None, "flops_margin": 0.1, "candidates": None},
    **{"replacement": True, "batch_size": 32, "probe_size": 64, "batch_accuracy": 0.5, "max_steps": None},
    **{"search": "ranked", "finetune_iterations": 0, "finetune_learning_rate": 2.5e-3},
}
STAGES: dict[str, dict[str, Any]] = {
    "prepare": {"dataset": {"source": "digits", "groups": None, "test_share": 0.2}},
    "subset": {"dataset": "digits", "shares": "equal", "validation_share": 0.0},
    "pretrain": {
        **{"experiment": "deep", "network": "resnet8", "architecture": ARCHITECTURE, "loss": "cross_entropy"},
        **{**SGD, **VARIED, **MACHINE, "schedule_iterations": None, "processes": 1},
    },
    "calibrate": {"method": {**GREEDY, "tolerance": None, "flops_ratio": 0.7}, "kind": "deep", **VARIED, **MACHINE},
    "prune": {"method": GREEDY, "kind": "deep", **VARIED, **MACHINE},
    "finetune": {**SGD, **VARIED, **MACHINE, "iterations": 10},
    "evaluate": {"kind": "deep", **MACHINE},
}


def experiment(settings: dict) -> dict:
    """The part of a configuration that a test changes most."""
    return settings["experiments"]["small"]


class Jobs:
    """A chain in a folder, with settings that a test may change; each method makes an artifact and gives its path."""

    def __init__(self, folder: Path, **changed: dict[str, Any]) -> None:
        self.folder = folder
        self.settings = copy.deepcopy(STAGES)
        for stage, settings in changed.items():
            self.settings[stage] |= settings
        self.machine = ["--device", "cpu", "--data-dir", str(folder)]
        self.data, self.indices = folder / "images.safetensors", folder / "subset.safetensors"

    def prepare(self) -> Path:
        arguments = ["--data-dir", str(self.folder), "--dataset", "digits"]
        return self._run(prepare, self.data, arguments, {})

    def subset(self, examples: int, seed: int = 0) -> Path:
        arguments = ["--examples", str(examples), "--seed", str(seed)]
        return self._run(subset, self.indices, arguments, {"data": self.data})

    def pretrain(self, name: str, iteration: int, previous: Path | None = None, save: int = 0, seed: int = 0) -> Path:
        arguments = ["--iteration", str(iteration), "--seed", str(seed), *self.machine, *saving(save)]
        return self._run(pretrain, self._path(name), arguments, {**self._examples, "previous": previous})

    def adopt(self, name: str, foreign: Path, iteration: int) -> Path:
        arguments = ["--iteration", str(iteration), *self.machine]
        return self._run(adopt, self._path(name), arguments, {**self._examples, "foreign": foreign})

    def calibrate(self, name: str, checkpoint: Path) -> Path:
        output = self._path(name).with_suffix(".json")
        return self._run(
            calibrate, output, ["--seed", "0", *self.machine], {**self._examples, "checkpoint": checkpoint}
        )

    def prune(self, name: str, checkpoint: Path, tolerance: Path | None = None, widths: Path | None = None) -> Path:
        inputs = {**self._examples, "checkpoint": checkpoint, "tolerance": tolerance, "widths": widths}
        return self._run(prune, self._path(name), ["--seed", "0", *self.machine], inputs)

    def finetune(self, name: str, subnetwork: Path, save: int = 0) -> Path:
        arguments = ["--seed", "0", *self.machine, *saving(save)]
        return self._run(finetune, self._path(name), arguments, {**self._examples, "subnetwork": subnetwork})

    def evaluate(self, name: str, subnetwork: Path, finetuned: Path | None = None) -> dict[str, float]:
        inputs = {**self._examples, "subnetwork": subnetwork, "finetuned": finetuned}
        return read_json(self._run(evaluate, self._path(name).with_suffix(".json"), self.machine, inputs))

    @property
    def _examples(self) -> dict[str, Path]:
        return {"data": self.data, "subset": self.indices}

    def _path(self, name: str) -> Path:
        return self.folder / name / "x.safetensors"

    def _run(self, script: Any, output: Path, arguments: list[str], inputs: dict[str, Path | None]) -> Path:
        given = [f"--{name}={path}" for name, path in inputs.items() if path is not None]
        settings = ["--settings", json.dumps(self.settings[script.__name__]), "--output", str(output)]
        try:
            script.main([*given, *arguments, *settings])
        finally:
            Signals.received = None
        return output


def pets(folder: Path, sizes: int = 0) -> None:
    """24 training and 12 test images of three classes, brighter from class to class; of different sizes, if asked."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for number, name in enumerate(("cat", "dog", "eel")):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                height, width = generator.integers(36 - sizes, 36 + sizes, 2, endpoint=True)
                pixels = generator.integers(0, 100, (height, width, 3)) + 70 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / part / name / f"{index}.png")


def folder_chain(folder: Path, **source: Any) -> Jobs:
    settings = {"source": "folder", "path": "pets", "channels": 3, "size": [16, 16], "storage": "files", "groups": None}
    chain = Jobs(folder, subset={"dataset": "pets"})
    chain.settings["prepare"] = {"dataset": {**settings, **source}}
    for stage in ("pretrain", "prune", "calibrate", "finetune"):
        chain.settings[stage]["augmentation"] = {"scale": [0.2, 1.0], "flip": True}
    chain.settings["pretrain"]["batch_size"] = chain.settings["finetune"]["batch_size"] = 8
    return chain


def saving(iterations: int) -> list[str]:
    return ["--save-seconds", "1000", "--save-iterations", str(iterations)]


def tensors(path: Path) -> dict[str, np.ndarray]:
    return artifacts.map_tensors(path)


def left(folder: Path) -> set[str]:
    """Names of all files below a folder."""
    return {path.name for path in folder.rglob("*") if path.is_file()}
