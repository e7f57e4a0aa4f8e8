"""What a job asks for: memory and time, from the sizes in the configuration.

The same on one machine, where `--resources mem_mb=...` bounds what runs at once, and on a cluster, where the scheduler
ends a job that takes more. A job is tried again with more (`attempt`), so these are what is likely, with a margin.
"""

import math
from collections.abc import Mapping

from chain import Chain
from costs import DEEP, OUTPUTS_HELD, STAGES_OF_NETWORKS, Costs

# MB of a job that does little: two processes of Snakemake (140 MB each), and Python with numpy and pandas (185 MB).
SMALL = 600
# MB of a process that imports torch, beside those two: 690 MB with the digits, 1.0 GB with MNIST's images.
WITH_TORCH = 1500
# MB more on an accelerator, for CUDA's libraries and pinned memory. Not measured: none was at hand.
WITH_CUDA = 4000
# MB of a process that reads images ahead. Not measured.
READER = 600
# MB that autograd keeps of an image, float32, for the networks of `costs.DEEP`; measured with `saved_tensors_hooks`.
SAVED = {
    ("resnet34", "cifar"): 8.0,
    ("resnet34", "imagenet"): 32.3,
    ("mobilenet_v2", "cifar"): 19.2,
    ("mobilenet_v2", "imagenet"): 78.3,
    ("resnet8", "cifar"): 0.7,
    ("resnet20", "cifar"): 1.6,
}
# The most among resnet50 (86), vgg16 (73) and densenet121 (131) at 224 x 224.
SAVED_OTHERS = 131.0
# Gradients of the activations, and what the allocator keeps.
BESIDE_SAVED = 1.5
EVALUATED_AT_ONCE = 128

# Minutes: a busy node or a slow file system must not end a job of seconds.
SHORTEST = 10
# Minutes, of any attempt: partitions for a day are common. What is ended at its limit saves its progress, and the next
# attempt goes on from there.
LONGEST = 24 * 60
MARGIN = 4
# Multiply-adds (counted as two) a second: a quarter of what a core of a server reached (62e9), and a third of the
# float32 peak of a GPU of 2017.
CORE, ACCELERATOR = 15e9, 5e12


class FixedSpeed(Costs):
    """The costs on a machine of a given speed, so that a job asks for the same wherever it is asked."""

    def __init__(self, chain: Chain, speed: float) -> None:
        super().__init__(chain, accelerated=False)
        self.speed = speed

    def rate(self) -> float:
        return self.speed


class Needs:
    """Memory and time of jobs. accelerated: whether there are accelerators to compute on."""

    def __init__(self, chain: Chain, accelerated: bool) -> None:
        self.chain, self.accelerated = chain, accelerated
        self.on_core, self.on_accelerator = FixedSpeed(chain, CORE), FixedSpeed(chain, ACCELERATOR)

    def memory(self, rule: str, wildcards: Mapping[str, str], attempt: int) -> int:
        """MB of a job; twice as much with each attempt."""
        return math.ceil(self._megabytes(rule, wildcards)) * 2 ** (attempt - 1)

    def minutes(self, rule: str, wildcards: Mapping[str, str], attempt: int) -> int:
        """Time limit of a job; twice as much with each attempt."""
        costs = self.on_accelerator if self._uses_accelerator(rule, wildcards) else self.on_core
        seconds, _ = costs.of(rule, wildcards)
        return min(LONGEST, math.ceil(SHORTEST + MARGIN * seconds / 60) * 2 ** (attempt - 1))

    def _uses_accelerator(self, rule: str, wildcards: Mapping[str, str]) -> bool:
        if rule not in STAGES_OF_NETWORKS:
            return False
        deep = self.chain.configuration.kind_of(wildcards["experiment"]) == "deep"
        return self.accelerated and (deep or rule in ("pretrain", "prune"))

    def _megabytes(self, rule: str, wildcards: Mapping[str, str]) -> float:
        if rule == "measure_pruning":
            times = self.chain.configuration.pruning_times
            outputs = 4e-6 * times.two_layer.examples * times.two_layer.width
            return (WITH_TORCH + self._cuda()) * max(times.workers) + 2 * outputs
        if rule == "measure_pruning":
            return (WITH_TORCH + self._cuda()) * max(self.chain.configuration.pruning_times.workers)
        if rule not in STAGES_OF_NETWORKS:
            # Measured up to 210 MB (condition numbers of 2,000 examples).
            return SMALL
        experiment = self.chain.experiment(wildcards["experiment"])
        inputs, test = self.on_core.images(experiment.dataset)
        if self.chain.configuration.kind_of(wildcards["experiment"]) == "deep":
            return self._of_deep(rule, wildcards, inputs, test)
        width = self.chain.configuration.networks[wildcards["network"]].width
        examples = int(wildcards["examples"])
        # The images in float32, and once more as they are copied to the device or made unit vectors.
        images = 8e-6 * inputs * (examples + test)
        weights = 4e-6 * (inputs + 1) * width
        outputs = 4e-6 * examples * width
        if rule == "pretrain":
            batch = experiment.pretrain.batch_size
            rows = examples if batch == "full" else min(batch, examples)
            # Measured: 1.43 GB for 50,000 examples and a width of 20,000 (5 copies of the weights: initial, trained,
            # gradient, checkpoint and its bytes).
            return WITH_TORCH + self._cuda() + images + 5 * weights + 12e-6 * rows * width
        if rule == "adopt":
            # It reads the foreign file with torch, and makes the hidden outputs of a part in blocks of 64 MB.
            return WITH_TORCH + images + 3 * weights
        if rule == "evaluate":
            return SMALL + images
        if rule == "terms":
            # Measured beside the outputs: 240 MB for 4,000 and 8,000 examples of a width of 5,000; the initial
            # spectrum is of the outputs in float64, twice.
            spectrum = 16e-6 * examples * width if examples <= width else 0
            return SMALL + images + 3 * weights + 1.1 * outputs + spectrum
        if rule == "observe":
            probe = min(examples, self.chain.configuration.stopping.probe)
            return SMALL + 3 * weights + 1.1 * 4e-6 * probe * width
        method = self.chain.configuration.methods[wildcards["method"]]
        if method.algorithm not in OUTPUTS_HELD:
            # With training: the weights, their gradients and what is in between.
            return SMALL + images + (6 if method.algorithm == "iterative_magnitude" else 2) * weights
        # Measured: 4.2 GiB for 50,000 examples and a width of 20,000, of which the outputs are 4.0 GB.
        workers = self.workers(wildcards)
        start = (WITH_TORCH + self._cuda() if self.accelerated or workers > 1 else SMALL) * workers
        return start + images * workers + 2 * weights + 1.1 * OUTPUTS_HELD[method.algorithm] * outputs

    def _of_deep(self, rule: str, wildcards: Mapping[str, str], inputs: int, test: int) -> float:
        """MB of a job of a deep network."""
        experiment = self.chain.experiment(wildcards["experiment"])
        network = self.chain.configuration.networks[wildcards["network"]]
        dataset = self.chain.configuration.datasets[experiment.dataset]
        key = (network.architecture, network.form)
        _, parameters, size = DEEP.get(key, (0, 140e6, 224))
        images = 2e-6 * inputs * (int(wildcards["examples"]) + test)
        if getattr(dataset, "storage", None) == "files":
            images = READER * self.chain.configuration.readers
        processes = 1
        if rule == "pretrain":
            batch, processes = experiment.pretrain.batch_size, experiment.pretrain.processes
        elif rule == "finetune":
            batch = experiment.finetune.batch_size
        elif rule in ("adopt", "evaluate", "observe"):
            batch = EVALUATED_AT_ONCE
        else:
            batch = getattr(self.chain.configuration.methods[wildcards["method"]], "batch_size", EVALUATED_AT_ONCE)
            processes = self.workers(wildcards)
        # Measured on two cores: 1.4 GB for a MobileNetV2 of a quarter of the width (0.6 GB saved) in batches of 128.
        saved = SAVED.get(key, SAVED_OTHERS) * network.width_multiplier * (inputs / 3) / size**2 * batch * BESIDE_SAVED
        # Weights, gradients, momentum, the checkpoint and its bytes.
        weights = 20e-6 * parameters * network.width_multiplier**2
        start = (WITH_TORCH + self._cuda()) * processes
        return start + images * processes + weights + (0 if self.accelerated else saved)

    def _cuda(self) -> float:
        return WITH_CUDA if self.accelerated else 0

    def workers(self, wildcards: Mapping[str, str]) -> int:
        """How many processes select together."""
        return getattr(self.chain.configuration.methods[wildcards["method"]], "workers", 1)
