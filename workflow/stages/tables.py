"""The tables of an experiment: plans, all measurements, and what follows from them."""

import math
from typing import ClassVar

from goodsubnet.settings.networks import NamedNetworkSettings
from goodsubnet.settings.stages import (
    AccuracyTableSettings,
    AnswersSettings,
    PlanSettings,
    RequiredPretrainingSettings,
)
from stages.base import Gathered, Input, Names, Needed, Output, PlannedTable, Shown, Stage


class Plan(Stage):
    """Write down the settings that a table must be made with, under a name that changes with them."""

    name = "plan"
    path = "{experiment}/plan/{table}/{digest}"
    outputs: ClassVar[dict[str, Output]] = {"plan": Output(".json")}
    local = True

    def settings(self, names: Names) -> PlanSettings:
        return PlanSettings(plan=self.chain.plan(names["experiment"], names["table"]))

    def choosing(self) -> list[str]:
        return ["experiment", "table"]


class Collect(PlannedTable):
    """Gather the measurements of an experiment in one tidy table, and refuse what was made with other settings."""

    name = "collect"
    path = "{experiment}/evaluations"
    of = "evaluate"
    beside = (("pretrain", ".dense.json"),)
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("All measurements", "evaluations"), "evaluations")
    }
    inputs: ClassVar[dict[str, Needed]] = {"plan": Gathered("collect")}


class RequiredPretraining(Stage):
    """Tabulate the iteration from which a subnetwork is good, for each width, number of examples and method."""

    name = "required_pretraining"
    path = "{experiment}/required_pretraining"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("Required pre-training", "required_pretraining"), "required_pretraining")
    }
    inputs: ClassVar[dict[str, Needed]] = {
        "table": Input("collect"),
        "terms": Input(
            "bounds", ".terms.csv", when=lambda chain, names: bool(chain.bounded_methods(names["experiment"]))
        ),
    }
    local = True

    def settings(self, names: Names) -> RequiredPretrainingSettings:
        accuracy = self.configuration.judged_accuracy(names["experiment"])
        return RequiredPretrainingSettings(accuracy=accuracy, margin=self.configuration.theory.certificate_margin)


class Answers(Stage):
    """Find the checkpoint from which pre-training is enough, and state it in one line."""

    name = "answers"
    path = "{experiment}/answers"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("Enough pre-training", "answers"), "answers"),
        "sentence": Output(".txt"),
    }
    inputs: ClassVar[dict[str, Needed]] = {"table": Input("collect")}
    local = True

    def settings(self, names: Names) -> AnswersSettings:
        return AnswersSettings(
            accuracy=self.configuration.judged_accuracy(names["experiment"]),
            margin=self.configuration.answer.margin,
            method=self.experiment(names).methods[0],
        )


class AccuracyTable(Stage):
    """Tabulate the accuracy of the subnetworks after each amount of pre-training, beside the paper's Table 1 or 2."""

    name = "accuracy_table"
    path = "{experiment}/tables/accuracy"
    outputs: ClassVar[dict[str, Output]] = {
        "csv": Output(
            ".csv", Shown("Accuracy of the subnetworks, as in Tables 1 and 2", "accuracy_table"), "accuracy_table"
        ),
        "markdown": Output(".md"),
        "latex": Output(".tex"),
    }
    inputs: ClassVar[dict[str, Needed]] = {"table": Input("collect")}
    local = True

    def settings(self, names: Names) -> AccuracyTableSettings:
        chosen = self.experiment(names)
        trained_on = max(chosen.examples) * (1 - chosen.validation_share)
        per_epoch = math.ceil(trained_on / int(chosen.pretrain.batch_size)) if chosen.paper_table == "table2" else None
        return AccuracyTableSettings(
            reference=chosen.paper_table,
            architectures={name: self.paper_name(name) for name in chosen.networks},
            iterations_per_epoch=per_epoch,
            title=self.configuration.datasets[chosen.dataset].title_of(chosen.dataset),
        )

    def paper_name(self, network: str) -> str:
        """What the paper's table may call a network: its numbers stand only beside networks of its size."""
        chosen = self.configuration.networks[network]
        whole = isinstance(chosen, NamedNetworkSettings) and chosen.width_multiplier == 1
        return chosen.architecture if whole and isinstance(chosen, NamedNetworkSettings) else network

    def made_for(self, target: str) -> bool:
        return target in self.configuration.experiments and self.configuration.kind_of(target) == "deep"


class CompareMethods(PlannedTable):
    """Gather loss, size and cost of every method along its steps in one tidy table."""

    name = "compare_methods"
    path = "{experiment}/methods"
    of = "prune"
    outputs: ClassVar[dict[str, Output]] = {"table": Output(".csv", table="methods")}
    inputs: ClassVar[dict[str, Needed]] = {"plan": Gathered("compare_methods")}

    def made_for(self, target: str) -> bool:
        """There are several methods of a two-layer network to set side by side."""
        experiments = self.configuration.experiments
        several = target in experiments and len(experiments[target].methods) > 1
        return several and self.configuration.kind_of(target) == "two_layer"
