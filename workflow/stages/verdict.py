"""Over all targets: which claims hold, and the page that people read; and the report of each."""

import os
from typing import ClassVar

from goodsubnet.settings.stages import ClaimsSettings, DescribedExperiment, ShownFigure, VerdictSettings
from goodsubnet.settings.training import Pretrain
from stages.base import Every, Input, Names, Needed, OfTargets, Output, Stage


class Claims(Stage):
    """Judge which of the paper's claims hold, on the tables of all experiments."""

    name = "claims"
    path = "claims"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", table="claims"),
        "summary": Output(".summary.csv"),
        "sentence": Output(".txt"),
    }
    inputs: ClassVar[dict[str, Needed]] = {
        "evaluations": OfTargets("evaluations"),
        "terms": OfTargets("terms"),
        "violations": OfTargets("violations"),
        "singular_value_fits": OfTargets("singular_value_fits"),
        "condition_numbers": OfTargets("condition_numbers"),
        "pruning_times": OfTargets("pruning_times"),
    }
    local = True

    def settings(self, names: Names) -> ClaimsSettings:
        return ClaimsSettings(experiments=[self.described(name) for name in self.configuration.experiments])

    def described(self, name: str) -> DescribedExperiment:
        """An experiment, as far as the claims are judged by it."""
        configuration, chosen = self.configuration, self.configuration.experiments[name]
        dataset, pretrain = configuration.datasets[chosen.dataset], chosen.pretrain
        return DescribedExperiment(
            name=name,
            kind=configuration.kind_of(name),
            source=dataset.source,
            title=dataset.title_of(chosen.dataset),
            examples=chosen.examples,
            methods={method: configuration.methods[method] for method in chosen.methods},
            lr_scaling=pretrain.lr_scaling if isinstance(pretrain, Pretrain) else None,
            loss=pretrain.loss,
            inputs=pretrain.inputs if isinstance(pretrain, Pretrain) else "",
            accuracy=configuration.judged_accuracy(name),
            paper_table=chosen.paper_table,
        )

    def made_for(self, target: str) -> bool:
        return False


class Verdict(Stage):
    """Write the page that says which claims hold, what is enough, and which rules would have stopped in time."""

    name = "verdict"
    path = "report"
    outputs: ClassVar[dict[str, Output]] = {"page": Output(".html")}
    inputs: ClassVar[dict[str, Needed]] = {
        "claims": Input("claims"),
        "summary": Input("claims", ".summary.csv"),
        "answers": OfTargets("answers"),
        "scores": OfTargets("stopping_scores"),
        "figures": OfTargets("figures"),
    }
    local = True

    def settings(self, names: Names) -> VerdictSettings:
        """Its pictures, in the order of its inputs, and its links."""
        page = os.path.dirname(self.chain.path("verdict"))
        figures = [
            ShownFigure(
                experiment=target,
                figure=figure,
                title=f"{target}: {self.chain.figures[figure].heading}",
                link=os.path.relpath(path, page),
            )
            for target, figure, path in self.chain.figures_of_targets()
        ]
        reports = {target: self.chain.path("report", experiment=target) for target in self.chain.targets()}
        links = {f"The report of {target}": os.path.relpath(path, page) for target, path in reports.items()}
        return VerdictSettings(figures=figures, links=links)

    def made_for(self, target: str) -> bool:
        return False


class Report(Stage):
    """Make Snakemake's self-contained HTML report of a target's figures and tables."""

    name = "report"
    path = "{experiment}/report"
    outputs: ClassVar[dict[str, Output]] = {"report": Output(".html")}
    inputs: ClassVar[dict[str, Needed]] = {"products": Every("shown")}
    given = ("snakefile",)
    local = True
    start = 6.0

    def made_for(self, target: str) -> bool:
        return True

    def choosing(self) -> list[str]:
        return []
