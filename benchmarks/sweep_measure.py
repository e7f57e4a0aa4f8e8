"""Time each kind of job of a sweep with the workflow's own scripts, on made-up images, for few iterations and images.

Every network has its true width. The table says what was run, and by how much the largest job's count was scaled. On a
CPU jobs of one thread are timed in the processor's seconds, which other work on the machine changes little.
"""

import contextlib
import csv
import importlib
import io
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sweep_seconds import COLUMNS, INTERPRETER, Part, is_deep, parts_of, read_table, rows_of

SCRIPTS = Path(__file__).parents[1] / "scripts"
ON_A_DEVICE = {"pretrain", "prune", "calibrate", "finetune", "evaluate"}
WHOLE = {"subset", "smallest_singular_values", "condition_numbers"}
TINY = 128
# Neurons times examples of a selection: 256 MB of outputs, so that they come from memory and not from a cache.
OUTPUTS = 2**26
# Of a measurement, in one run; one that takes longer than so many seconds is not repeated.
REPETITIONS, LONG = 3, 10
SECONDS_OF_TRAINING = 1.0
# Images of deep networks: so few take seconds on a CPU, and an accelerator must be kept busy.
TRAINED = {"cpu": 32, "cuda": 1024}
READ = {"cpu": 16, "cuda": 1024}
SELECTED = {"cpu": (8, 2), "cuda": (128, 16)}  # images of a mini-batch, candidates

# What only a trained network can tell of a greedy pruning of deep layers. In 12 prunings (ResNet8 on digits, a thin
# MobileNetV2 on CIFAR-10) the steps were 0.16 to 0.53 of the channels, and a ranked step computed 9 to 12 losses of 16
# candidates, and 21 to 44 of 37 to 64; in two of them 0.14 and 0.51 of the steps were checked on the probe.
STEPS = 0.4
CHECKS = 0.3
RANKED_LOSSES = 20
# Of the channels: about the share of the multiply-adds that Table 1 keeps.
KEPT = 0.6


def measure(jobs: Sequence[Any], costs: Any, device: str, table: Path) -> None:
    """Time each kind of these jobs and write the rows of `table`; rows of other kinds stay."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made = Measurement(Path(folder), jobs, costs, device).all()
    largest: dict[Part, float] = defaultdict(float)
    for job in jobs:
        for part, count in parts_of(job, jobs, costs).items():
            largest[part] = max(largest[part], count)
    rows = read_table(table)
    for (on, part), (seconds, what, count) in made.items():
        values = [on, *part, f"{seconds:.4g}", what, f"{count:g}", f"{largest[part]:g}"]
        values += [f"{max(1, largest[part] / count):.3g}", machine(on)]
        rows[on, part] = dict(zip(COLUMNS, values, strict=True))
    table.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows.values())
    print(f"timed {len(made)} parts of jobs in {time.perf_counter() - began:.0f} s: {table}\n")


def machine(device: str) -> str:
    import torch

    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{processor()}, torch {torch.__version__}"


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class Measurement:
    """The workflow's scripts, each called in this process with little to do. device: "cpu" or "cuda"."""

    def __init__(self, folder: Path, jobs: Sequence[Any], costs: Any, device: str) -> None:
        self.folder, self.jobs, self.costs, self.device = folder, jobs, costs, device
        self.rows: dict[tuple[str, Part], tuple[float, str, float]] = {}
        self._files: dict[tuple, Path] = {}
        self._count = 0
        self.threads = 1

    def all(self) -> dict[tuple[str, Part], tuple[float, str, float]]:
        """(device, part) -> seconds, what was run, and how many of the part that were."""
        started = self.started([str(SCRIPTS / "plan.py"), "--help"], 1)
        self.rows["cpu", INTERPRETER] = (started, "start of a script, without torch", 1)
        networks: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for job in self.jobs:
            if job.rule in WHOLE:
                self.whole(job)
            elif "network" in job.wildcards:
                networks[job.wildcards["network"]][job.rule].append(job)
        for network, by_rule in networks.items():
            print(f"timing {network}", flush=True)
            deep = is_deep(by_rule["pretrain"][0], self.costs)
            (self.deep if deep else self.two_layer)(network, by_rule)
        return self.rows

    def whole(self, job: Any) -> None:
        """A job as it is, as a process; of its kind the largest."""
        (part,) = parts_of(job, self.jobs, self.costs)
        if ("cpu", part) in self.rows:
            return
        arguments = ["--examples", job.wildcards["examples"]]
        if job.rule == "subset":
            alike = [each for each in self.jobs if each.rule == "subset"]
            job = max(alike, key=lambda each: int(each.wildcards["examples"]))
            data = self.data(job, int(job.wildcards["examples"]), TINY)
            arguments = ["--examples", job.wildcards["examples"], "--data", str(data), "--seed", "0"]
        seconds = self.process(job, [*arguments, "--output", str(self.output("artifact.json"))])
        self.add(job, part, seconds, f"the job with {job.wildcards['examples']} examples", 1)

    def two_layer(self, network: str, by_rule: dict[str, list[Any]]) -> None:
        job = max(by_rule["pretrain"], key=lambda each: int(each.wildcards["examples"]))
        examples = min(OUTPUTS // job.settings["architecture"]["width"], int(job.wildcards["examples"]))
        test = self.costs.images(self.dataset(job))[1]
        tiny = min(TINY, examples // 2)
        small, large = self.inputs(job, tiny, tiny), self.inputs(job, examples, test)
        images, numbers = (2 * tiny, examples + test), (tiny, examples)

        def train(inputs: list[str], iterations: int) -> tuple[float, Path]:
            return self.call(job, [*inputs, "--previous=", "--iteration", str(iterations)])

        self.line(
            job, network, "image", images, lambda inputs: [*inputs, "--previous=", "--iteration", "0"], small, large
        )
        for rows in sorted({rows_of(each) for each in by_rule["pretrain"]}):
            inputs = self.inputs(job, rows, TINY)
            seconds, iterations, checkpoint = self.training(lambda count, inputs=inputs: train(inputs, count))
            part = ("pretrain", network, f"iteration of {rows}")
            self.add(job, part, seconds, f"{iterations} iterations of {rows} examples", iterations)
        given = ["--checkpoint", str(checkpoint)]
        subnetworks = {}
        for job in {each.wildcards["method"]: each for each in by_rule["prune"]}.values():
            method = job.wildcards["method"]
            more = [*given, "--tolerance=", "--widths="]
            subnetworks[method] = self.line(
                job, f"{network} {method}", "example", numbers, lambda inputs, more=more: inputs + more, small, large
            )
        job = by_rule["evaluate"][0]
        chosen = ["--subnetwork", str(subnetworks[job.wildcards["method"]])]
        self.line(job, network, "image", images, lambda inputs: [*inputs, *chosen, "--finetuned="], small, large)
        for job in by_rule["terms"][:1]:
            more = [*given, "--subnetwork", str(subnetworks[job.wildcards["method"]])]
            self.line(job, network, "example", numbers, lambda inputs, more=more: inputs + more, small, large)

    def deep(self, network: str, by_rule: dict[str, list[Any]]) -> None:
        job, few = by_rule["pretrain"][0], READ[self.device]
        small, large = self.inputs(job, few, few), self.inputs(job, 3 * few, few)
        self.line(
            job,
            network,
            "image",
            (2 * few, 4 * few),
            lambda inputs: [*inputs, "--previous=", "--iteration", "0"],
            small,
            large,
        )
        rows = min(TRAINED[self.device], job.settings["batch_size"])
        inputs = self.inputs(job, TRAINED[self.device], few)
        seconds, iterations, checkpoint = self.training(
            lambda count: self.call(job, [*inputs, "--previous=", "--iteration", str(count)])
        )
        what = f"{iterations} iterations of {rows} images"
        self.add(job, ("pretrain", network, "image trained"), seconds / rows, what, iterations * rows)
        for job in {each.wildcards["method"]: each for each in by_rule["prune"]}.values():
            self.selection(job, f"{network} {job.wildcards['method']}", checkpoint)
        subnetwork = self.shrunk(checkpoint, job)
        chosen = ["--subnetwork", str(subnetwork)]
        for job in by_rule["finetune"][:1]:

            def tune(count: int, job: Any = job) -> tuple[float, Path]:
                alike = replace(job, settings={**job.settings, "iterations": 1 + count})
                return self.call(alike, [*inputs, *chosen])

            seconds, iterations, _ = self.training(tune)
            what = f"{iterations} iterations of {rows} images, {KEPT:.0%} of the channels"
            self.add(job, ("finetune", network, "image trained"), seconds / rows, what, iterations * rows)
        job = by_rule["evaluate"][0]
        seconds, _ = self.call(job, [*small, *chosen, "--finetuned="])
        each = self.read(subnetwork, few)
        self.add(job, ("evaluate", network, "image"), each, f"{few} images, {KEPT:.0%} of the channels", few)
        self.add(job, ("evaluate", network, "job"), max(0.0, seconds - 2 * few * each), "with its latencies", 1)

    def line(
        self,
        job: Any,
        subject: str,
        unit: str,
        counts: tuple[int, int],
        arguments: Callable[[list[str]], list[str]],
        small: list[str],
        large: list[str],
    ) -> Path:
        """Time a job with few images and with more, so many: what it takes for itself, and for each."""
        self.call(job, arguments(small))
        few, _ = self.median(lambda: self.call(job, arguments(small)))
        many, made = self.median(lambda: self.call(job, arguments(large)))
        first, last = counts
        slope = max(0.0, (many - few) / (last - first))
        self.add(job, (job.rule, subject, unit), slope, f"{last} less {first}", last - first)
        self.add(job, (job.rule, subject, "job"), max(0.0, few - slope * first), f"what {first} leave", 1)
        start = (job.rule, "deep" if is_deep(job, self.costs) else "two_layer", "process")
        if (self.device if job.accelerators else "cpu", start) not in self.rows:
            took = self.process(job, self.command(job, arguments(small)))
            self.add(job, start, max(0.0, took - few), "a process, less the same in one that runs", 1)
        return made

    def training(self, train: Callable[[int], tuple[float, Path]]) -> tuple[float, int, Path]:
        """Seconds of an iteration, how many were timed, and the checkpoint."""
        none, _ = self.median(lambda: train(0))
        two, _ = self.median(lambda: train(2))
        iterations = int(np.clip(SECONDS_OF_TRAINING / max(1e-3, (two - none) / 2), 2, 200))
        seconds, checkpoint = self.median(lambda: train(iterations))
        return max(0.0, seconds - none) / iterations, iterations, checkpoint

    def median(self, run: Callable[[], tuple[float, Path]]) -> tuple[float, Path]:
        """The median seconds of several runs, fewer where one takes long, and the artifact of the last."""
        taken = [run()]
        while len(taken) < REPETITIONS and sum(seconds for seconds, _ in taken) < LONG:
            taken.append(run())
        return statistics.median(seconds for seconds, _ in taken), taken[-1][1]

    def selection(self, job: Any, subject: str, checkpoint: Path) -> None:
        """Every layer of the dense network: a step of few candidates on few images."""
        import torch

        from goodsubnet.networks.layers import SplitNetwork, prunable_layers
        from goodsubnet.selection.layers import FIRST_RANKED_STEP, CandidateLosses

        self.threads = job.threads
        network, _ = self.load(checkpoint)
        count, candidates = SELECTED[self.device]
        images, labels = self.images(checkpoint, count)
        of_step, of_check, layers = 0.0, 0.0, prunable_layers(network)
        with torch.no_grad():
            for layer in layers:
                split = SplitNetwork(network, layer)
                losses = CandidateLosses(split)
                counts = np.zeros(layer.channels, np.int64)
                counts[: FIRST_RANKED_STEP - 1] = 1
                losses.start(images, labels, counts)
                losses.of(np.arange(1))

                def common(losses=losses, counts=counts) -> None:
                    losses.start(images, labels, counts)
                    losses.predicted(np.arange(len(counts)))

                shared = self.timed(common)
                each = self.timed(lambda losses=losses: losses.of(np.arange(candidates))) / candidates
                before = self.timed(lambda split=split: split.before(images))
                inputs, rest = split.before(images)
                after = self.timed(
                    lambda split=split, i=inputs, r=rest: split.after(split.consumer(i), tuple(v.clone() for v in r))
                )
                method, exact, steps = job.settings["method"], 0, 0.0
                if method["algorithm"] == "layer_greedy":
                    exact = FIRST_RANKED_STEP - 1
                    steps = max(exact, STEPS * layer.channels)
                drawn = min(layer.channels, method.get("candidates") or layer.channels)
                of_step += steps * shared + (exact * drawn + (steps - exact) * min(drawn, RANKED_LOSSES)) * each
                of_check += before + (2 + CHECKS * steps) * after
        what = f"in each of {len(layers)} layers, {count} images"
        if of_step:
            part = ("prune", subject, "image of the mini-batch")
            self.add(job, part, of_step / count, f"a step of {candidates} candidates {what}", count)
        self.add(
            job, ("prune", subject, "image of the probe"), of_check / count, f"both sides of the cut {what}", count
        )

    def timed(self, function: Callable[[], Any]) -> float:
        """Seconds of a call: the processor's where one thread computes, else the clock's."""
        import torch

        clock = time.process_time if self.device == "cpu" and self.threads == 1 else time.perf_counter
        if self.device == "cuda":
            torch.cuda.synchronize()
        began = clock()
        function()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return clock() - began

    # ---- what the scripts are given

    def inputs(self, job: Any, examples: int, test: int) -> list[str]:
        """A data set of so many images and its sub-dataset of all training images."""
        data, subset = self.data(job, examples, test), self.folder / f"subset-{examples}.safetensors"
        if not subset.exists():
            self.store(subset, {"indices": np.arange(examples), "validation": np.arange(0)})
        return ["--data", str(data), "--subset", str(subset)]

    def data(self, job: Any, examples: int, test: int) -> Path:
        """Images of a class each have a pattern in common, so that there is something to learn."""
        from goodsubnet.data.files import pack
        from goodsubnet.data.labels import group_labels
        from goodsubnet.data.randomness import random_generator

        name = self.dataset(job)
        path = self.folder / f"{name}-{examples}-{test}.safetensors"
        if path.exists():
            return path
        source = self.costs.chain.configuration.datasets[name]
        names = list(source.classes() or [])
        if not names:
            raise SystemExit(f"{name}: jobs on images from a folder are not timed here; give --results of a run")
        numbers = self.costs.images(name)[0]
        shape = (3, 32, 32) if numbers == 3 * 32 * 32 else (1, math.isqrt(numbers), math.isqrt(numbers))
        generator = random_generator("benchmark", "sweep")
        patterns = generator.integers(0, 128, (len(names), *shape), np.uint8)
        tensors = {"pixel_max": np.array([255]), "class_names": pack(names)}
        for part, count in (("train", examples), ("test", test)):
            classes = np.arange(count) % len(names)
            tensors[f"{part}_images"] = patterns[classes] + generator.integers(0, 128, (count, *shape), np.uint8)
            tensors[f"{part}_classes"] = classes
            tensors[f"{part}_labels"] = group_labels(classes, source.groups, names)
        tensors["mean"] = tensors["std"] = np.full(shape[0], 0.5, np.float32)
        self.store(path, tensors)
        return path

    def store(self, path: Path, tensors: dict[str, np.ndarray]) -> None:
        from goodsubnet.runtime.jobs import Job
        from goodsubnet.settings.stages import TableSettings

        with Job("measurement", path, TableSettings(), {}) as job:
            job.save_tensors(tensors)

    def dataset(self, job: Any) -> str:
        return self.costs.chain.configuration.experiments[job.wildcards["experiment"]].dataset

    def shrunk(self, checkpoint: Path, job: Any) -> Path:
        """The network with a share of the channels of each layer."""
        from goodsubnet.networks import files
        from goodsubnet.networks.layers import prunable_layers
        from goodsubnet.pruning.surgery import shrink

        network, description = self.load(checkpoint)
        images, _ = self.images(checkpoint, 1)
        for layer in prunable_layers(network):
            shrink(network, layer, range(math.ceil(KEPT * layer.channels)), images)
        path = self.output("subnetwork.safetensors")
        self.store(path, files.encode(network, {**description, "pruning": {"tolerance": None, "layers": []}}))
        return path

    def load(self, path: Path) -> tuple[Any, dict[str, Any]]:
        from goodsubnet.networks import files

        network, description = files.load(path)
        return network.to(self.device), description

    def images(self, checkpoint: Path, count: int) -> tuple[Any, Any]:
        """Images of a network's size, and their classes."""
        import torch

        _, description = self.load(checkpoint)
        generator = torch.Generator().manual_seed(0)
        images = torch.rand((count, *description["image"]), generator=generator)
        return images.to(self.device), (torch.arange(count) % description["classes"]).to(self.device)

    def read(self, path: Path, count: int) -> float:
        """Seconds of an image in evaluation mode."""
        import torch

        network, images = self.load(path)[0], self.images(path, count)[0]
        network = network.to(memory_format=torch.channels_last).eval()
        with torch.inference_mode():
            network(images)
            return self.timed(lambda: network(images)) / count

    # ---- scripts

    def output(self, name: str) -> Path:
        self._count += 1
        return self.folder / str(self._count) / name

    def command(self, job: Any, arguments: list[str]) -> list[str]:
        named = [*arguments, "--output", str(self.output("artifact.safetensors"))]
        named += [] if job.rule == "evaluate" else ["--seed", "0"]
        return named + (["--device", self.device] if job.rule in ON_A_DEVICE else [])

    def call(self, job: Any, arguments: list[str]) -> tuple[float, Path]:
        """Call a job's script here; its seconds and its artifact."""
        command = self.command(job, arguments)
        script = importlib.import_module(job.stage)
        self.threads = job.threads
        with contextlib.redirect_stdout(io.StringIO()):
            arguments = ["--settings", json.dumps(job.settings), *command]
            seconds = self.timed(lambda: script.main(arguments))
        return seconds, Path(command[command.index("--output") + 1])

    def process(self, job: Any, command: list[str]) -> float:
        """Seconds of a job's script as a process."""
        script = [str(SCRIPTS / f"{job.stage}.py"), "--settings", json.dumps(job.settings), *command]
        return self.started(script, job.threads)

    def started(self, script: list[str], threads: int) -> float:
        """Seconds of a process as `timed` counts them. Raises SystemExit with its words where it fails."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([sys.executable, *script], capture_output=True, text=True)
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        if self.device == "cuda" or threads > 1:
            return ended - began
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def add(self, job: Any, part: Part, seconds: float, what: str, count: float) -> None:
        self.rows[self.device if job.accelerators else "cpu", part] = (seconds, what, count)
