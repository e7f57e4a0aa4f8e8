"""The theory: the terms of the bounds on each subnetwork, the bounds, and the thresholds that follow from them."""

from typing import ClassVar

from machine import SMALL, TERMS_SECONDS, Machine

from goodsubnet.settings.stages import BoundsSettings, TermsSettings, ThresholdsSettings
from goodsubnet.settings.training import Pretrain
from stages.base import CELL, Cost, Gathered, Input, Names, Needed, NetworkStage, Output, PlannedTable, Shown, Stage
from stages.training import TwoLayerSizes


class Terms(NetworkStage):
    """Measure the terms of the bounds on a checkpoint, and the loss of its subnetwork after each step."""

    name = "terms"
    path = f"{{experiment}}/terms/{{method}}/{CELL}"
    outputs: ClassVar[dict[str, Output]] = {"terms": Output(".json")}
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "checkpoint": Input("pretrain"),
        "subnetwork": Input("prune"),
    }
    passed = ("seed",)
    start = 1.0

    def settings(self, names: Names) -> TermsSettings:
        pretrain = two_layer_pretrain(self, names)
        return TermsSettings(
            experiment=names["experiment"],
            network=names["network"],
            architecture=self.configuration.two_layer(names["network"]).as_architecture(),
            batch_size=pretrain.batch_size,
            inputs=pretrain.inputs,
            loss=pretrain.loss,
            threads=self.configuration.threads.prune,
        )

    def made_for(self, target: str) -> bool:
        return bool(self.chain.bounded_methods(target))

    def threads(self, names: Names) -> int:
        return self.configuration.threads.prune

    def memory(self, names: Names, machine: Machine) -> float:
        sizes = TwoLayerSizes(self, names)
        # Measured beside the outputs: 240 MB for 4,000 and 8,000 examples of a width of 5,000; the initial
        # spectrum is of the outputs in float64, twice.
        spectrum = 16e-6 * sizes.examples * sizes.width if sizes.examples <= sizes.width else 0
        return SMALL + sizes.images + 3 * sizes.weights + 1.1 * sizes.outputs + spectrum

    def cost(self, names: Names, machine: Machine) -> Cost:
        sizes = TwoLayerSizes(self, names)
        each = sizes.forward / machine.rate + sizes.width * TERMS_SECONDS
        return Cost(self.start + sizes.examples * each, 1e4)


class Bounds(PlannedTable):
    """Compare the bounds with what was measured at every pruned checkpoint, and count where they are violated."""

    name = "bounds"
    path = "{experiment}/theory/bounds"
    of = "terms"
    beside = (("pretrain", ".dense.json"),)
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", table="bounds"),
        "terms": Output(".terms.csv", Shown("Theory: the terms of the bounds", "terms"), "terms"),
        "violations": Output(
            ".violations.csv",
            Shown("Theory: do the bounds hold, and how loose are they?", "violations"),
            "violations",
        ),
    }
    inputs: ClassVar[dict[str, Needed]] = {"plan": Gathered("bounds")}

    def settings(self, names: Names) -> BoundsSettings:
        return BoundsSettings(loss=two_layer_pretrain(self, names).loss, error=self.configuration.theory.error)

    def made_for(self, target: str) -> bool:
        return bool(self.chain.bounded_methods(target))

    def methods(self, experiment: str) -> list[str]:
        return self.chain.bounded_methods(experiment)


class Thresholds(Stage):
    """Tabulate the threshold in pre-training iterations, measured and by Theorem 3, and the law it follows."""

    name = "thresholds"
    path = "{experiment}/theory/thresholds"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("Theory: thresholds, measured and predicted", "thresholds"), "thresholds"),
        "laws": Output(".laws.csv", Shown("Theory: the law of the thresholds", "threshold_laws"), "laws"),
    }
    inputs: ClassVar[dict[str, Needed]] = {"table": Input("collect"), "terms": Input("bounds", ".terms.csv")}
    local = True

    def settings(self, names: Names) -> ThresholdsSettings:
        configuration = self.configuration
        return ThresholdsSettings(accuracy=configuration.figures.accuracy, margin=configuration.theory.threshold_margin)

    def made_for(self, target: str) -> bool:
        return bool(self.chain.bounded_methods(target))


def two_layer_pretrain(stage: Stage, names: Names) -> Pretrain:
    """How the two-layer networks of an experiment are trained. Raises TypeError for others."""
    pretrain = stage.experiment(names).pretrain
    if not isinstance(pretrain, Pretrain):
        raise TypeError(f"{names['experiment']} is not of two-layer networks")
    return pretrain
