"""Seconds of every job of a sweep: counts (iterations, images ...) times the measured seconds of one.

Where runs recorded what their jobs took, that wins.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = ["device", "rule", "subject", "part", "seconds", "measured", "count", "largest", "scaled", "machine"]
# The start of Python, which no sidecar counts.
INTERPRETER = ("python", "", "process")
# Prunings of a calibration: 2 to 4 in four that were made (ResNet8 on digits, a thin MobileNetV2 on CIFAR-10).
TRIES = 3

Part = tuple[str, str, str]


class Rough:
    """The workflow's own rough costs. chain: the workflow's; machine: that it would run on."""

    def __init__(self, chain: Any, machine: Any) -> None:
        self.chain, self.machine = chain, machine

    def images(self, dataset: str) -> tuple[int, int]:
        """Numbers in an image, and images in the test set."""
        source = self.chain.configuration.datasets[dataset]
        channels, height, width = source.image()
        return channels * height * width, source.test_images()

    def of(self, rule: str, wildcards: dict[str, str]) -> tuple[float, float]:
        """Seconds on one core, and bytes on disk, of a job."""
        stage = self.chain.stages.get(rule)
        if stage is None:
            return 2.0, 1e5
        cost = stage.cost(wildcards, self.machine)
        return cost.seconds, cost.size


def parts_of(job: Any, jobs: Sequence[Any], costs: Any) -> dict[Part, float]:
    """(rule, subject, part) -> how many of it a job takes. jobs, costs: as `sweep.jobs_of` gives them."""
    names, rule = job.wildcards, job.rule
    if "network" not in names:
        subject = names["examples"] if rule in ("smallest_singular_values", "condition_numbers") else ""
        return {(rule, subject, "job"): 1}
    network, examples = names["network"], int(names["examples"])
    images = examples + costs.images(costs.chain.configuration.experiments[names["experiment"]].dataset)[1]
    if is_deep(job, costs):
        # A process that reads a network and images: as a pre-training of no iterations.
        start = {("pretrain", "deep", "process"): 1, ("pretrain", network, "job"): 1}
        if rule == "observe":
            return {**start, ("pretrain", network, "image"): 3 * min(job.settings["probe"], examples)}
        return start | _parts_of_deep(job, jobs, images)
    if rule == "observe":
        # A pruning of the probe.
        method = [
            *costs.chain.bounded_methods(names["experiment"]),
            *costs.chain.configuration.experiments[names["experiment"]].methods,
        ][0]
        probe = min(job.settings["probe"], examples)
        subject = f"{network} {method}"
        return {
            ("prune", "two_layer", "process"): 1,
            ("prune", subject, "job"): 1,
            ("prune", subject, "example"): probe,
        }
    counts: dict[Part, float] = {(rule, "two_layer", "process"): 1}
    subject = f"{network} {names['method']}" if rule == "prune" else network
    counts[rule, subject, "job"] = 1
    if rule == "pretrain":
        counts[rule, network, f"iteration of {rows_of(job)}"] = segment_of(job, jobs)
    of_images = rule in ("pretrain", "evaluate")
    counts[rule, subject, "image" if of_images else "example"] = images if of_images else examples
    return counts


def _parts_of_deep(job: Any, jobs: Sequence[Any], images: int) -> dict[Part, float]:
    names, settings, rule = job.wildcards, job.settings, job.rule
    network, examples = names["network"], int(names["examples"])
    if rule == "pretrain":
        trained = segment_of(job, jobs) * rows_of(job)
        return {(rule, network, "image trained"): trained, (rule, network, "image"): images}
    if rule == "finetune":
        return {(rule, network, "image trained"): settings["iterations"] * min(settings["batch_size"], examples)}
    if rule == "evaluate":
        # Before and after fine-tuning.
        return {(rule, network, "job"): 1, (rule, network, "image"): 2 * images}
    from goodsubnet.settings.methods import PROBE_IMAGES

    method, times = settings["method"], TRIES if rule == "calibrate" else 1
    subject = f"{network} {names['method']}"
    probe = times * min(method.get("probe_size", PROBE_IMAGES), examples)
    counts = {("prune", subject, "image of the probe"): probe}
    if method["algorithm"] == "layer_greedy":
        counts["prune", subject, "image of the mini-batch"] = times * min(method["batch_size"], examples)
    return counts


def segment_of(job: Any, jobs: Sequence[Any]) -> int:
    """Iterations of a pretrain job."""
    previous = [jobs[need] for need in job.needs if jobs[need].rule == "pretrain"]
    return int(job.wildcards["iteration"]) - (int(previous[0].wildcards["iteration"]) if previous else 0)


def is_deep(job: Any, costs: Any) -> bool:
    return costs.chain.configuration.kind_of(job.wildcards["experiment"]) == "deep"


def rows_of(job: Any) -> int:
    """Examples in a batch of a pretrain job."""
    batch, examples = job.settings["batch_size"], int(job.wildcards["examples"])
    return examples if batch == "full" else min(batch, examples)


def read_table(table: Path) -> dict[tuple[str, Part], dict[str, str]]:
    """The rows of a table of measurements by device and part; none where there is no table."""
    if not table.exists():
        return {}
    with table.open() as file:
        return {(row["device"], (row["rule"], row["subject"], row["part"])): row for row in csv.DictReader(file)}


class Seconds:
    """What each job takes. table: as `measure` writes it. results: folders of runs, whose sidecars win over it."""

    def __init__(self, jobs: Sequence[Any], costs: Any, device: str, table: Path, results: Sequence[Path]) -> None:
        self.jobs, self.costs, self.device = jobs, costs, device
        self.of_part = {key: float(row["seconds"]) for key, row in read_table(table).items()}
        self.recorded = [self._recorded(job, results) for job in jobs]
        self.of_stage = self._of_stages(results)
        sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for job, recorded in zip(jobs, self.recorded, strict=True):
            estimate = self._from_table(job)
            if recorded is not None and estimate is not None:
                sums[kind_of(job)][0] += recorded
                sums[kind_of(job)][1] += estimate
        self.corrections = {kind: recorded / estimate for kind, (recorded, estimate) in sums.items()}
        self._numbers = {id(job): number for number, job in enumerate(jobs)}

    def of(self, job: Any) -> float | None:
        """Seconds of a job, None where nothing like it was measured: as recorded, else as measured, corrected by what
        jobs of its kind recorded, else the mean of those of its script."""
        recorded = self.recorded[self._numbers[id(job)]]
        if recorded is not None:
            return recorded
        estimate = self._from_table(job)
        if estimate is not None:
            return estimate * self.corrections.get(kind_of(job), 1.0)
        return None if "network" in job.wildcards else self.of_stage.get(job.stage)

    def compare(self) -> None:
        """Print, by kind, the measured estimate beside what runs recorded and beside the workflow's rough costs."""
        kinds: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for job in self.jobs:
            value = self.of(job)
            if value is not None:
                entry = kinds[kind_of(job)]
                entry[0] += 1
                entry[1] += value
                entry[2] += self.costs.of(job.rule, job.wildcards)[0]
        print(f"{'kind of job':40} {'jobs':>5} {'hours in all':>12} {'rough':>9} {'recorded/measured':>17}")
        for kind, (count, seconds, rough) in sorted(kinds.items(), key=lambda item: -item[1][1]):
            correction = f"{self.corrections[kind]:17.2f}" if kind in self.corrections else ""
            print(
                f"{' '.join(kind):40} {count:5.0f} {seconds / 3600:12,.3f} {rough / 3600:9,.3f} {correction}".rstrip()
            )

    def _from_table(self, job: Any) -> float | None:
        device = self.device if job.accelerators else "cpu"
        total = 0.0
        for part, count in parts_of(job, self.jobs, self.costs).items():
            if (device, part) not in self.of_part:
                return None
            total += count * self.of_part[device, part]
        return total

    def _recorded(self, job: Any, results: Sequence[Path]) -> float | None:
        for folder in results:
            path = folder / job.provenance
            if path.exists():
                made = json.loads(path.read_text())
                shared = (made["settings"].keys() & job.settings.keys()) - {"code"}
                alike = all(made["settings"][key] == job.settings[key] for key in shared)
                on = "cpu" if made["device"] == "cpu" else "cuda"
                if alike and on == (self.device if job.accelerators else "cpu"):
                    return made["seconds"] + self.of_part.get(("cpu", INTERPRETER), 0.0)
        return None

    def _of_stages(self, results: Sequence[Path]) -> dict[str, float]:
        found = defaultdict(list)
        for folder in results:
            for path in folder.rglob("*.provenance.json"):
                made = json.loads(path.read_text())
                found[made["stage"]].append(made["seconds"])
        return {stage: sum(values) / len(values) for stage, values in found.items()}


def kind_of(job: Any) -> tuple[str, str]:
    names = [job.wildcards[name] for name in ("network", "method") if name in job.wildcards]
    return job.rule, " ".join(names)
