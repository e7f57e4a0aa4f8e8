"""What the stopping rules add to the runs that they watch: observing a checkpoint against making and pruning it.

    python benchmarks/stopping.py [--mnist data] [--checkpoints 8] [--repetitions 3]

Each stage is called in this process on one thread, as a job calls it, so that the start of processes is left out; what
that takes is measured by itself, and added on both sides for the second figure. A training segment, a pruning and an
observation take turns. Seconds are those of the processor: other work on the machine changes them little.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goodsubnet.data.batches import ResidentImages
from goodsubnet.data.order import BatchOrder
from goodsubnet.data.preparation import prepared
from goodsubnet.data.subsets import draw_subset
from goodsubnet.networks import files
from goodsubnet.networks.deep import initial_network
from goodsubnet.networks.two_layer import forward, initial_weights_of
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.stages.deep.observe import observe as observe_deep
from goodsubnet.stages.deep.prune import prune as prune_deep
from goodsubnet.stages.two_layer.observe import observe as observe_two_layer
from goodsubnet.stages.two_layer.prune import prune as prune_two_layer
from goodsubnet.training.fitting import Fit
from goodsubnet.training.loop import LOSSES, tensor_batches
from goodsubnet.training.losses import targets_of

DIGITS = {"source": "digits", "groups": None, "test_share": 0.2}
MNIST = {"source": "mnist", "groups": None}
GROUPS = [list("01234"), list("56789")]
GREEDY = {"algorithm": "greedy", "steps": 200, "distinct": None, "max_steps": 2000}
LAYERS = {
    **{"algorithm": "layer_greedy", "tolerance": 0.1, "flops_ratio": None, "candidates": 16, "replacement": True},
    **{"batch_size": 32, "probe_size": 256, "batch_accuracy": 0.95, "max_steps": None, "search": "ranked"},
    **{"finetune_iterations": 0, "finetune_learning_rate": 2.5e-3},
}


class Inputs:
    """The inputs of jobs, as files in a folder."""

    def __init__(self, folder: Path, source: dict[str, Any], examples: int, data_dir: str) -> None:
        self.folder = folder
        self.data = prepared(source, data_dir)
        indices = draw_subset(self.data["train_classes"], examples, 0, name="benchmark")
        self.subset = {"indices": indices, "validation": indices[:0]}
        for name in ("data", "subset"):
            self.write(name, getattr(self, name))

    def write(self, name: str, tensors: dict[str, np.ndarray]) -> None:
        (self.folder / name).write_bytes(artifacts.encode_tensors(tensors))

    def task(self, settings: dict[str, Any]) -> Task:
        return Task(settings, {name: self.folder / name for name in ("data", "subset", "checkpoint")})


def seconds(call: Any) -> float:
    """Of the processor, in this process and in those that it waited for."""
    began = sum(os.times()[:4])
    call()
    return sum(os.times()[:4]) - began


def two_layer(inputs: Inputs, width: int, iterations: int, checkpoints: int) -> list[tuple[float, float, float]]:
    """Seconds of a segment of training, a pruning and an observation, at each checkpoint."""
    data, indices = inputs.data, inputs.subset["indices"]
    architecture = {"kind": "two_layer", "width": width, "activation": "relu", "initialisation": "scaled"}
    rows = data["train_images"][indices].reshape(len(indices), -1).astype(np.float32) / int(data["pixel_max"][0])
    targets = targets_of(data["train_labels"][indices], "logistic")
    initial = initial_weights_of(architecture, rows.shape[1], "benchmark", "network", 0)
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in initial.items()}
    x, y = torch.from_numpy(rows), torch.from_numpy(targets)
    order, segment = BatchOrder(0, len(x), 128), iterations // checkpoints
    common = {"kind": "two_layer", "inputs": "unit_range", "loss": "logistic", "threads": 1}
    prune = {**common, "activation": "relu", "method": GREEDY}
    names = {"experiment": "benchmark", "network": "network", "architecture": architecture}
    observe = {**common, **names, "probe": 1024, "selection": {"steps": GREEDY["steps"]}}

    def train(start: int) -> None:
        for inputs_of_batch, truth in tensor_batches(x, y, order, start, start + segment):
            loss = LOSSES["logistic"](forward(weights, inputs_of_batch, "relu"), truth)
            steps = torch.autograd.grad(loss, list(weights.values()))
            with torch.no_grad():
                for value, step in zip(weights.values(), steps, strict=True):
                    value -= 0.1 * width * step

    taken = []
    for number in range(checkpoints):
        trained = seconds(lambda start=number * segment: train(start))
        inputs.write("checkpoint", {name: value.detach().numpy() for name, value in weights.items()})
        pruned = seconds(lambda: prune_two_layer(inputs.task(prune), Machine("cpu"), 0))
        seen = seconds(lambda t=number: observe_two_layer(inputs.task(observe), Machine("cpu"), 0, t))
        taken.append((trained, pruned, seen))
    return taken


def deep(inputs: Inputs, name: str, iterations: int, checkpoints: int) -> list[tuple[float, float, float]]:
    """The same of a ResNet."""
    data, indices = inputs.data, inputs.subset["indices"]
    architecture = {"kind": "deep", "architecture": name, "form": "cifar", "width_multiplier": 1.0}
    classes = int(data["train_labels"].max()) + 1
    network = initial_network(architecture, classes, data["mean"], data["std"], "benchmark", "network", 0)
    images = ResidentImages(
        data["train_images"][indices], data["train_labels"][indices], int(data["pixel_max"][0]), "cpu"
    )
    described = {"architecture": architecture, "classes": classes, "image": list(images.image_shape)}
    sgd = {"batch_size": 64, "learning_rate": 0.05, "schedule": "constant", "momentum": 0.9, "weight_decay": 5e-4}
    fit = Fit(network, described, {**sgd, "precision": "float32"}, "cpu")
    common = {"kind": "deep", "threads": 1, "deterministic": True}
    prune = {**common, "method": LAYERS, "augmentation": None, "precision": "float32"}
    names = {"experiment": "benchmark", "network": "network", "architecture": architecture}
    observe = {**common, **names, "probe": 1024, "share": 0.5}
    segment, taken = iterations // checkpoints, []
    for number in range(checkpoints):
        start = number * segment
        trained = seconds(lambda start=start: fit.run(images, 0, start, start + segment))
        inputs.write("checkpoint", files.encode(fit.network, described))
        pruned = seconds(lambda: prune_deep(inputs.task(prune), Machine("cpu"), 0))
        seen = seconds(lambda t=number: observe_deep(inputs.task(observe), Machine("cpu"), 0, t))
        taken.append((trained, pruned, seen))
    return taken


def start_of(modules: str, repetitions: int) -> float:
    """Seconds until a process has imported what a job needs."""
    command = [sys.executable, "-c", f"import {modules}"]
    return statistics.median(seconds(lambda: subprocess.run(command, check=True)) for _ in range(repetitions))


def report(what: str, taken: list[tuple[float, float, float]], starts: tuple[float, float, float]) -> None:
    """Sums over the checkpoints: in one process, and with a process for each job."""
    trained, pruned, seen = (sum(each) for each in zip(*taken, strict=True))
    count = len(taken)
    processes = [total + count * start for total, start in zip((trained, pruned, seen), starts, strict=True)]
    added = f"{seen / (trained + pruned):.1%} more; with processes {processes[2] / sum(processes[:2]):.1%} more"
    each = f"{seen:.3f} s ({seen / count * 1e3:.0f} ms each)"
    print(f"{what}: training {trained:.2f} s, pruning {pruned:.2f} s, observing {each}: {added}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mnist", help="folder with MNIST's files; without it, digits")
    arguments.add_argument("--checkpoints", type=int, default=8)
    arguments.add_argument("--iterations", type=int, default=8000, help="of the two-layer network")
    arguments.add_argument("--deep-iterations", type=int, default=800)
    arguments.add_argument("--repetitions", type=int, default=3, help="of the start of a process")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    heavy, light = "goodsubnet.stages.deep.prune, goodsubnet.training.loop", "goodsubnet.stages.two_layer.observe"
    starts = {name: start_of(modules, args.repetitions) for name, modules in (("torch", heavy), ("numpy", light))}
    print("start of a process: " + json.dumps({name: round(value, 2) for name, value in starts.items()}), flush=True)
    source = MNIST if args.mnist else DIGITS
    examples, width, name = (5000, 1000, "MNIST") if args.mnist else (1000, 500, "digits")
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(Path(folder), {**source, "groups": GROUPS}, examples, args.mnist or ".")
        # The first selection on a machine compiles its kernels.
        two_layer(inputs, 50, 2, 1)
        taken = two_layer(inputs, width, args.iterations, args.checkpoints)
        report(
            f"two-layer, width {width:,}, {examples:,} of {name}",
            taken,
            tuple(starts[n] for n in ("torch", "numpy", "numpy")),
        )
        inputs = Inputs(Path(folder), DIGITS, 1000, ".")
        taken = deep(inputs, "resnet8", args.deep_iterations, args.checkpoints)
        report("resnet8, 1,000 of digits", taken, (starts["torch"],) * 3)


if __name__ == "__main__":
    main()
