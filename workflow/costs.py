"""What the jobs of a run cost, roughly: said before it starts, and by which its progress is told."""

import math
import os
import time
from pathlib import Path
from typing import ClassVar

from chain import Chain

STAGES_OF_NETWORKS = {"pretrain", "adopt", "calibrate", "prune", "finetune", "evaluate", "terms", "observe"}
# Multiply-adds of an image, parameters, and the height of the images that they are counted for.
DEEP = {
    ("resnet34", "cifar"): (1.159e9, 21.3e6, 32),
    ("resnet34", "imagenet"): (3.66e9, 21.8e6, 224),
    ("mobilenet_v2", "cifar"): (88e6, 2.2e6, 32),
    ("mobilenet_v2", "imagenet"): (0.30e9, 3.5e6, 224),
    ("resnet8", "cifar"): (12.4e6, 0.08e6, 32),
    ("resnet20", "cifar"): (40.6e6, 0.27e6, 32),
}
DEEP_OTHERS = (2e9, 20e6, 224)
# The methods that look at the outputs of all neurons of a two-layer network: how many times these are held.
OUTPUTS_HELD = {"greedy": 1, "greedy_backward": 2, "greedy_line_search": 1, "greedy_fully_corrective": 1}
# Importing torch and torchvision, and reading the images.
START_OF_DEEP = 6.0
# torchrun, and importing torch in each of its processes.
START_OF_WORKERS = 6.0
# Passes over a batch and the probe, of all layers together.
FORWARDS_OF_A_PRUNING = 300
CALIBRATION_TRIES = 8


class Costs:
    """Rough costs of jobs, from the sizes in the configuration and the speed of this machine, measured once.

    The constants were measured on two cores of a server: start-up of a process, and the time of one neuron on one
    example, in a selection step and for all terms of the bounds.
    """

    START: ClassVar = {
        "pretrain": 3.5,
        "prune": 2.0,
        "evaluate": 0.8,
        "terms": 1.0,
        "observe": 0.8,
        "subset": 0.6,
        "report": 6.0,
        # With the default grids.
        "smallest_singular_values": 5.0,
        "condition_numbers": 4.0,
    }
    SELECTION_SECONDS = 0.4e-9
    TERMS_SECONDS = 10e-9

    def __init__(self, chain: Chain, accelerated: bool) -> None:
        self.chain, self.accelerated = chain, accelerated
        self._rate = 0.0

    def folder(self) -> Path:
        results = Path(self.chain.configuration.results_dir).absolute()
        return next(folder for folder in [results, *results.parents] if folder.is_dir())

    def of(self, rule: str, wildcards: dict[str, str]) -> tuple[float, float]:
        """Seconds on one core, and bytes on disk, of a job."""
        start = self.START.get(rule, 2.0)
        if rule == "measure_pruning":
            return self.of_figure4(wildcards["part"]), 1e5
        if rule not in STAGES_OF_NETWORKS:
            return start, 1e5
        experiment = self.chain.experiment(wildcards["experiment"])
        if self.chain.configuration.kind_of(wildcards["experiment"]) == "deep":
            return self.of_deep(rule, wildcards)
        width = self.chain.configuration.networks[wildcards["network"]].width
        examples, inputs, test = int(wildcards["examples"]), *self.images(experiment.dataset)
        pixels_width = 2 * inputs * width
        if rule == "pretrain":
            batch = experiment.pretrain.batch_size
            rows = examples if batch == "full" else min(batch, examples)
            segment, kept = self.segment(experiment.pretrain.checkpoint_iterations, int(wildcards["iteration"]))
            work = (3 * rows * segment + examples + test) * pixels_width
            return start + work / self.rate(), 4.0 * width * (inputs + 1) * kept + 1e4
        if rule == "adopt":
            _, kept = self.segment(experiment.pretrain.checkpoint_iterations, int(wildcards["iteration"]))
            return start + (examples + test) * pixels_width / self.rate(), 4.0 * width * (inputs + 1) * kept + 1e4
        if rule == "terms":
            return start + examples * (pixels_width / self.rate() + width * self.TERMS_SECONDS), 1e4
        if rule == "observe":
            probe = min(examples, self.chain.configuration.stopping.probe)
            selection = self.chain.configuration.observing_selection(wildcards["experiment"])
            selecting = (selection.get("steps") or selection["distinct"]) * self.SELECTION_SECONDS
            return start + probe * (pixels_width / self.rate() + width * selecting), 1e4
        method = self.chain.configuration.methods[wildcards["method"]]
        steps = method.steps or method.distinct
        if rule == "evaluate":
            return start + (examples + test) * 2 * inputs * steps / self.rate(), 1e4
        kept = 4.0 * steps * inputs + 1e4
        if method.algorithm == "iterative_magnitude":
            rows = examples if method.batch_size == "full" else min(method.batch_size, examples)
            # Sizes that fall by the same factor from the width to the size, about the mean of a logarithm.
            mean = (width - steps) / max(1e-9, math.log(width / steps)) if width > steps else width
            work = 3 * rows * method.rounds * method.iterations * 2 * inputs * mean
            return start + work / self.rate(), kept
        if method.algorithm not in OUTPUTS_HELD:
            return start, kept
        passes = (width - steps**2 / width) / 2 if method.algorithm == "greedy_backward" else steps
        work = examples * pixels_width / self.rate() + examples * width * passes * self.SELECTION_SECONDS
        workers = getattr(method, "workers", 1)
        start += START_OF_WORKERS if workers > 1 else 0
        return start + work / workers, kept

    def of_deep(self, rule: str, wildcards: dict[str, str]) -> tuple[float, float]:
        """The same for a job of a deep network."""
        experiment = self.chain.experiment(wildcards["experiment"])
        network = self.chain.configuration.networks[wildcards["network"]]
        examples, inputs, test = int(wildcards["examples"]), *self.images(experiment.dataset)
        multiply_adds, parameters, size = DEEP.get((network.architecture, network.form), DEEP_OTHERS)
        # Depthwise networks are slow for their multiply-adds: they wait for memory.
        slow = 4 if "mobilenet" in (network.architecture or "") else 1
        forward = 2 * slow * multiply_adds * network.width_multiplier**2 * (inputs / 3) / size**2 / self.rate()
        parameters *= network.width_multiplier**2
        start = START_OF_DEEP
        if rule == "pretrain":
            marks = experiment.pretrain.checkpoint_iterations
            segment, kept = self.segment(marks, int(wildcards["iteration"]))
            images = 3 * experiment.pretrain.batch_size * segment + examples + test
            return start + images * forward, 8.0 * parameters * kept + 1e4
        if rule == "adopt":
            _, kept = self.segment(experiment.pretrain.checkpoint_iterations, int(wildcards["iteration"]))
            return start + (examples + test) * forward, 4.0 * parameters * kept + 1e4
        if rule == "finetune":
            images = 3 * experiment.finetune.batch_size * experiment.finetune.iterations
            # Of a network about half as large.
            return start + images * forward / 2, 4.0 * parameters
        if rule == "evaluate":
            return start + 2 * (examples + test) * forward, 1e4
        if rule == "observe":
            # The dense network, and the subnetwork twice.
            return start + 3 * min(examples, self.chain.configuration.stopping.probe) * forward, 1e4
        method = self.chain.configuration.methods[wildcards["method"]]
        if method.algorithm != "layer_greedy":
            return start, 4.0 * parameters
        images = min(method.batch_size, examples) + min(method.probe_size, examples)
        pruning = FORWARDS_OF_A_PRUNING * images * forward / method.workers
        return start + pruning * (CALIBRATION_TRIES if rule == "calibrate" else 1), 4.0 * parameters

    def of_figure4(self, part: str) -> float:
        """Seconds of the whole machine that it takes to measure pruning times."""
        times, cores = self.chain.configuration.pruning_times, os.cpu_count() or 1
        if part == "two_layer":
            neurons = times.two_layer
            each = neurons.steps * self.SELECTION_SECONDS + 2 * neurons.inputs / self.rate()
            once = neurons.examples * neurons.width * each
        else:
            layers = times.layers
            multiply_adds, _, size = DEEP.get((layers.architecture, layers.form), DEEP_OTHERS)
            images = len(layers.blocks) * layers.steps * layers.candidates * layers.batch_size
            # Half of the network follows a cut, in the mean.
            once = images * multiply_adds * (layers.size / size) ** 2 / self.rate()
        # The first measurement of each is thrown away.
        shared = sum(1 / min(workers, cores) for workers in times.workers)
        return START_OF_WORKERS + once * (times.repetitions + 1) * shared

    def segment(self, marks: list[int], stop: int) -> tuple[int, bool]:
        """Iterations of the segment that ends at `stop`, and whether its checkpoint stays on disk."""
        kept = self.chain.configuration.keep_checkpoints == "all" or stop == marks[-1]
        return stop - max([mark for mark in [0, *marks] if mark < stop], default=stop), kept

    def images(self, dataset: str) -> tuple[int, int]:
        """Numbers in an image, and images in the test set; those of MNIST where they are not known yet."""
        settings = self.chain.configuration.datasets[dataset]
        if settings.source == "digits":
            return 64, 360
        if settings.source == "cifar10":
            return 3 * 32 * 32, 10_000
        if settings.source == "folder" and settings.size:
            return settings.channels * math.prod(settings.size), 10_000
        return 784, 10_000

    def rate(self) -> float:
        """Multiply-adds (counted as two) a second of one core, from a small matrix product."""
        if not self._rate:
            import numpy as np
            from threadpoolctl import threadpool_limits

            left, right = np.ones((128, 784), np.float32), np.ones((784, 1000), np.float32)
            with threadpool_limits(1):
                left @ right
                began = time.perf_counter()
                for _ in range(3):
                    left @ right
                # Training reaches about half of a bare product's speed: activations, updates, indexing.
                self._rate = 0.5 * 3 * 2 * left.size * right.shape[1] / (time.perf_counter() - began)
        return self._rate
