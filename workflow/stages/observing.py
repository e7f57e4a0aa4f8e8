"""When to stop: what is observed of each checkpoint, and how the rules do."""

from typing import ClassVar

from machine import SELECTION_SECONDS, SMALL, START_OF_DEEP, Machine

from goodsubnet.runtime import plugins
from goodsubnet.settings.methods import EVALUATED_AT_ONCE
from goodsubnet.settings.stages import (
    DeepObserveSettings,
    ObserveSettings,
    StoppingSettings,
    TwoLayerObserveSettings,
)
from goodsubnet.settings.training import Pretrain
from stages.base import CELL, Cost, Gathered, Input, Names, Needed, NetworkStage, Output, PlannedTable, Shown
from stages.training import TwoLayerSizes, deep_forward, deep_memory

# A rule must see some checkpoints to stop before the last one.
LEAST_WATCHED = 3


class Observe(NetworkStage):
    """Observe a checkpoint on a probe of its sub-dataset."""

    name = "observe"
    path = f"{{experiment}}/observe/{CELL}"
    outputs: ClassVar[dict[str, Output]] = {"observation": Output(".json")}
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "checkpoint": Input("pretrain"),
        # It stands in for the unknown initial weights of a network that was trained elsewhere.
        "first": Input(
            "pretrain",
            iteration="first",
            when=lambda chain, names: chain.configuration.networks[names["network"]].elsewhere,
        ),
    }
    passed = ("seed", "iteration")
    given = ("machine",)
    start = 0.8

    def settings(self, names: Names) -> ObserveSettings:
        pretrain, configuration = self.experiment(names).pretrain, self.configuration
        if isinstance(pretrain, Pretrain):
            return TwoLayerObserveSettings(
                experiment=names["experiment"],
                network=names["network"],
                architecture=configuration.two_layer(names["network"]).as_architecture(),
                probe=configuration.stopping.probe,
                inputs=pretrain.inputs,
                loss=pretrain.loss,
                selection=configuration.observing_selection(names["experiment"]),
                threads=configuration.threads.prune,
            )
        return DeepObserveSettings(
            experiment=names["experiment"],
            network=names["network"],
            architecture=configuration.deep(names["network"]).as_architecture(),
            probe=configuration.stopping.probe,
            share=configuration.stopping.share,
            threads=configuration.threads.prune,
            deterministic=configuration.deterministic,
        )

    def modules(self, names: Names) -> list[str]:
        return [f"stages.{self.kind(names)}.observe", *self.chain.architecture_code(names["network"])]

    def made_for(self, target: str) -> bool:
        experiments = self.configuration.experiments
        return target in experiments and len(experiments[target].pretrain.checkpoint_iterations) >= LEAST_WATCHED

    def threads(self, names: Names) -> int:
        return self.configuration.threads.prune

    def devices(self, names: Names) -> int:
        return 1 if self.kind(names) == "deep" else 0

    def memory(self, names: Names, machine: Machine) -> float:
        if self.kind(names) == "deep":
            return deep_memory(self, names, machine, EVALUATED_AT_ONCE)
        sizes, probe = TwoLayerSizes(self, names), self.probe(names)
        return SMALL + 3 * sizes.weights + 1.1 * 4e-6 * probe * sizes.width

    def cost(self, names: Names, machine: Machine) -> Cost:
        if self.kind(names) == "deep":
            # The dense network, and the subnetwork twice.
            return Cost(START_OF_DEEP + 3 * self.probe(names) * deep_forward(self, names, machine), 1e4)
        sizes, selection = TwoLayerSizes(self, names), self.configuration.observing_selection(names["experiment"])
        selecting = (selection.steps or selection.distinct or 0) * SELECTION_SECONDS
        each = sizes.forward / machine.rate + sizes.width * selecting
        return Cost(self.start + self.probe(names) * each, 1e4)

    def probe(self, names: Names) -> int:
        return min(int(names["examples"]), self.configuration.stopping.probe)


class Stopping(PlannedTable):
    """Run the stopping rules over the checkpoints as if online, and tabulate what each saves, loses and costs."""

    name = "stopping"
    path = "{experiment}/stopping"
    of = "observe"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("When to stop: each rule on each training", "stopping"), "stopping"),
        "scores": Output(
            ".scores.csv", Shown("When to stop: the rules compared", "stopping_scores"), "stopping_scores"
        ),
    }
    inputs: ClassVar[dict[str, Needed]] = {"plan": Gathered("stopping"), "table": Input("collect")}

    def settings(self, names: Names) -> StoppingSettings:
        chosen = self.experiment(names)
        return StoppingSettings(
            rules=self.configuration.stopping.rules,
            accuracy=self.configuration.judged_accuracy(names["experiment"]),
            method=chosen.methods[0],
            iterations=chosen.pretrain.iterations,
            batch_size=chosen.pretrain.batch_size,
        )

    def modules(self, names: Names) -> list[str]:
        rules = {rule.rule for rule in self.configuration.stopping.rules.values()}
        return sorted(plugins.found("rules")[rule].source for rule in rules)

    def made_for(self, target: str) -> bool:
        return self.chain.stages["observe"].made_for(target)

    def methods(self, experiment: str) -> list[str]:
        return []
