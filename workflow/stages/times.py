"""The pruning times of Figure 4: a job for the layers, and one for the neurons."""

import os
from typing import ClassVar

from machine import SELECTION_SECONDS, START_OF_WORKERS, WITH_TORCH, Machine

from goodsubnet.runtime import plugins
from goodsubnet.settings.configuration import PRUNING_TIMES
from goodsubnet.settings.methods import method_settings
from goodsubnet.settings.networks import DeepNetworkSettings, network_settings
from goodsubnet.settings.stages import LayerTimesSettings, NeuronTimesSettings, PruningTimesSettings
from stages.base import Cost, Every, Names, Needed, Output, Shown, Stage

PARTS = ("layers", "two_layer")
# So many that Snakemake gives the job all its cores.
ALL_CORES = 1_000_000


class PruningTimes(Stage):
    """Measure how long pruning takes with one worker and with several: of layers of a deep network, or of neurons."""

    name = "measure_pruning"
    path = f"{PRUNING_TIMES}/{{part}}"
    outputs: ClassVar[dict[str, Output]] = {"times": Output(".json")}
    passed = ("part",)
    given = ("machine", "workers")

    def settings(self, names: Names) -> PruningTimesSettings:
        times = self.configuration.pruning_times
        how = times.model_dump(include={"workers", "repetitions", "threads"})
        if names["part"] == "layers":
            chosen = times.layers.model_dump(exclude={"architecture", "form"})
            method = method_settings({"algorithm": "layer_greedy", "tolerance": 0.0})
            return LayerTimesSettings(method=method, architecture=self.network().as_architecture(), **chosen, **how)
        chosen = times.two_layer.model_dump(exclude={"steps"})
        method = method_settings({"algorithm": "greedy", "steps": times.two_layer.steps})
        return NeuronTimesSettings(method=method, **chosen, **how)

    def network(self) -> DeepNetworkSettings:
        """The deep network whose layers are pruned."""
        layers = self.configuration.pruning_times.layers
        named = {"kind": "deep", "architecture": layers.architecture, "form": layers.form}
        network = network_settings(named)
        if not isinstance(network, DeepNetworkSettings):
            raise TypeError(f"{layers.architecture} is not a deep network")
        return network

    def modules(self, names: Names) -> list[str]:
        kind, method = ("deep", "layer_greedy") if names["part"] == "layers" else ("two_layer", "greedy")
        used = [f"stages.{kind}.pruning_times", plugins.found("methods")[method].source]
        return used + (self.chain.code_of(self.network()) if kind == "deep" else [])

    def made_for(self, target: str) -> bool:
        return target == PRUNING_TIMES

    def grid(self) -> dict[str, list[str]]:
        return {"part": list(PARTS)}

    def constraints(self) -> dict[str, str]:
        return {"part": "|".join(PARTS)}

    def workers(self, names: Names) -> int:
        """How many processes are measured at most."""
        return max(self.configuration.pruning_times.workers)

    def threads(self, names: Names) -> int:
        # On one machine, all its cores: whatever runs beside the job would be measured, too.
        own = self.workers(names) * self.configuration.pruning_times.threads
        return own if self.chain.on_cluster else ALL_CORES

    def devices(self, names: Names) -> int:
        return self.workers(names)

    def memory(self, names: Names, machine: Machine) -> float:
        times = self.configuration.pruning_times
        outputs = 4e-6 * times.two_layer.examples * times.two_layer.width
        return (WITH_TORCH + machine.cuda) * max(times.workers) + 2 * outputs

    def cost(self, names: Names, machine: Machine) -> Cost:
        """Seconds of the whole machine."""
        times, cores = self.configuration.pruning_times, os.cpu_count() or 1
        if names["part"] == "two_layer":
            neurons = times.two_layer
            each = neurons.steps * SELECTION_SECONDS + 2 * neurons.inputs / machine.rate
            once = neurons.examples * neurons.width * each
        else:
            layers, network = times.layers, self.network().cost()
            images = len(layers.blocks) * layers.steps * layers.candidates * layers.batch_size
            # On average half of the network follows a cut.
            once = images * network.multiply_adds * (layers.size / network.size) ** 2 / machine.rate
        # The first measurement of each is thrown away.
        shared = sum(1 / min(workers, cores) for workers in times.workers)
        return Cost(START_OF_WORKERS + once * (times.repetitions + 1) * shared)


class PruningTimesTable(Stage):
    """Tabulate every measurement of the pruning times."""

    name = "pruning_times_table"
    path = f"{PRUNING_TIMES}/times"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("Figure 4: every measurement", "pruning_times"), "pruning_times")
    }
    inputs: ClassVar[dict[str, Needed]] = {"times": Every("measure_pruning")}
    local = True

    def made_for(self, target: str) -> bool:
        return target == PRUNING_TIMES
