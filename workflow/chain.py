"""The chain as paths: what the rules ask, and nobody else knows."""

import hashlib
import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stage_settings import StageSettings, as_json

from goodsubnet.data.folder import train_class_counts
from goodsubnet.errors import UserError
from goodsubnet.foreign import check_imported
from goodsubnet.settings import PRUNING_TIMES, RANDOM_MATRICES, Configuration, FigureStyle

CELL = "{network}/examples-{examples}/seed-{seed}/iteration-{iteration}"
# On the page of the verdicts.
FIGURE_TITLES = {
    "accuracy": "accuracy of the subnetworks, by pre-training",
    "answers": "enough pre-training, and what stopping there costs",
    "bounds": "the bounds against the measured loss",
    "curves": "accuracy of the subnetworks, as curves",
    "figure1": "accuracy of the subnetworks (Figure 1)",
    "figure2": "smallest singular values (Figure 2)",
    "figure3": "condition numbers (Figure 3)",
    "figure4": "pruning with several workers (Figure 4)",
    "methods": "pruning methods side by side",
    "stopping": "when to stop: saved against lost",
    "terms": "the terms of the bounds along training",
    "thresholds": "the threshold against the number of examples",
}


class Chain(StageSettings):
    """Paths with wildcards, and with the wildcards filled in; the settings of each stage; what a target makes."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        root = configuration.results_dir.rstrip("/").replace("{", "{{").replace("}", "}}")
        experiment = f"{root}/{{experiment}}"
        self.data = f"{root}/data/{{dataset}}/images"
        self.subset = f"{experiment}/subset/examples-{{examples}}/seed-{{seed}}"
        self.pretrain = f"{experiment}/pretrain/{CELL}"
        self.prune = f"{experiment}/prune/{{method}}/{CELL}"
        self.calibrate = f"{experiment}/calibrate/{{method}}/{{network}}/examples-{{examples}}/seed-{{seed}}"
        self.finetune = f"{experiment}/finetune/{{method}}/{CELL}"
        self.evaluate = f"{experiment}/evaluate/{{method}}/{CELL}"
        self.terms = f"{experiment}/terms/{{method}}/{CELL}"
        self.observe = f"{experiment}/observe/{CELL}"
        self.plan = f"{experiment}/plan/{{table}}/{{digest}}"
        self.collect = f"{experiment}/evaluations"
        self.required = f"{experiment}/required_pretraining"
        self.answers = f"{experiment}/answers"
        self.bounds = f"{experiment}/theory/bounds"
        self.methods = f"{experiment}/methods"
        self.thresholds = f"{experiment}/theory/thresholds"
        self.stopping = f"{experiment}/stopping"
        self.figures = f"{experiment}/figures"
        self.accuracy_table = f"{experiment}/tables/accuracy"
        self.report = f"{experiment}/report"
        self.logs = f"{root}/logs"
        self.random_matrices = f"{root}/{RANDOM_MATRICES}"
        self.smallest_singular_values = f"{self.random_matrices}/smallest_singular_values/examples-{{examples}}"
        self.condition_numbers = f"{self.random_matrices}/condition_numbers/examples-{{examples}}"
        self.pruning_times = f"{root}/{PRUNING_TIMES}"
        self.claims = f"{root}/claims"
        self.verdict = f"{root}/report"
        self.measured_times = f"{self.pruning_times}/{{part}}"
        self.cell = CELL

    def _plan(self, experiment: str, table: str) -> tuple[dict[str, Any], list[str]]:
        """What a table is made from: its grid, with where each artifact lies and the settings it must have.

        table: "evaluations" or "methods", of all methods, "bounds", of the greedy ones, or "stopping", of the
        checkpoints alone.
        """
        chosen = self.experiment(experiment)
        last, methods = {
            "evaluations": ("evaluate", list(chosen.methods)),
            "bounds": ("terms", self.bounded_methods(experiment)),
            "stopping": ("observe", []),
            "methods": ("prune", list(chosen.methods)),
        }[table]
        stages = {
            "prepare": self.settings("prepare", dataset=chosen.dataset),
            "subset": self.settings("subset", experiment=experiment),
        }
        if chosen.finetune and methods:
            stages["finetune"] = self.settings("finetune", experiment=experiment)
        for network in chosen.networks:
            made_by = "adopt" if self.elsewhere(network) else "pretrain"
            stages[f"pretrain {network}"] = self.settings(made_by, experiment=experiment, network=network)
            if last != "prune":
                stages[f"{last} {network}"] = self.settings(last, experiment=experiment, network=network)
            for method in methods:
                key = f"prune {network} {method}"
                stages[key] = self.settings("prune", experiment=experiment, network=network, method=method)
                if self.calibrated(method):
                    key = f"calibrate {network} {method}"
                    stages[key] = self.settings("calibrate", experiment=experiment, network=network, method=method)
        paths = {
            "prepare": f"{self.data}.safetensors",
            "subset": f"{self.subset}.safetensors",
            "pretrain": f"{self.pretrain}.safetensors",
            "dense": f"{self.pretrain}.dense.json",
            "calibrate": f"{self.calibrate}.json",
            "prune": f"{self.prune}.safetensors",
            "finetune": f"{self.finetune}.safetensors",
        }
        if last != "prune":
            paths[last] = f"{getattr(self, last)}.json"
        grid = {
            "experiment": experiment,
            "dataset": chosen.dataset,
            "networks": {name: getattr(self.configuration.networks[name], "width", None) for name in chosen.networks},
            # A method stands behind the one that it takes its widths from.
            "methods": sorted(methods, key=lambda method: self.widths_from(method) is not None),
            "widths_from": {method: self.widths_from(method) for method in methods if self.widths_from(method)},
            "calibrated": [method for method in methods if self.calibrated(method)],
            "examples": list(chosen.examples),
            "seeds": list(chosen.seeds),
            "iterations": chosen.pretrain.checkpoint_iterations,
        }
        foreign = {name: self.configuration.networks[name].checkpoints for name in chosen.networks}
        if any(foreign.values()):
            grid["foreign"] = {name: pattern for name, pattern in foreign.items() if pattern}
        return {"plan": {"grid": grid, "paths": paths, "stages": stages}}, []

    def _verdict(self) -> tuple[dict[str, Any], list[str]]:
        """What the page of the verdicts shows: its pictures, in the order of its inputs, and its links."""
        page = Path(self.verdict.format()).parent
        figures = [
            [target, Path(path).stem, f"{target}: {FIGURE_TITLES[Path(path).stem]}", os.path.relpath(path, page)]
            for path, target in self.judged_figures()
        ]
        links = {f"The report of {name}": os.path.relpath(path, page) for name, path in self.reports().items()}
        return {"figures": figures, "links": links}, []

    # ---- paths with their wildcards filled in

    def plan_path(self, experiment: str, table: str) -> str:
        """The plan of a table; its name is a short hash of all that the table is made from."""
        content = as_json(self.settings("plan", experiment=experiment, table=table))
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return f"{self.plan}.json".format(experiment=experiment, table=table, digest=digest)

    def previous_checkpoint(self, wildcards: Mapping[str, str]) -> list[str]:
        """The checkpoint that a segment begins from; none for the first."""
        marks = self.experiment(wildcards["experiment"]).pretrain.checkpoint_iterations
        earlier = [mark for mark in marks if mark < int(wildcards["iteration"])]
        if not earlier:
            return []
        return [f"{self.pretrain}.safetensors".format(**{**wildcards, "iteration": earlier[-1]})]

    @property
    def trained_elsewhere(self) -> str:
        """Networks whose checkpoints were trained elsewhere, as a regular expression; it may be that of none."""
        return "|".join(re.escape(name) for name in self.configuration.networks if self.elsewhere(name)) or "(?!)"

    @property
    def trained_here(self) -> str:
        """The other networks, as a regular expression."""
        return f"(?!(?:{self.trained_elsewhere})/)[^/]+"

    def foreign_checkpoint(self, wildcards: Mapping[str, str]) -> str:
        """Where a checkpoint lies that was trained elsewhere."""
        return self.configuration.networks[wildcards["network"]].checkpoints.format(**wildcards)

    def first_checkpoint(self, wildcards: Mapping[str, str]) -> list[str]:
        """What stands for the unknown initial weights of a network that was trained elsewhere; else none."""
        if not self.elsewhere(wildcards["network"]):
            return []
        first = self.experiment(wildcards["experiment"]).pretrain.checkpoint_iterations[0]
        return [f"{self.pretrain}.safetensors".format(**{**wildcards, "iteration": first})]

    def tolerance_for(self, wildcards: Mapping[str, str]) -> list[str]:
        """The calibrated tolerance that a checkpoint is pruned with; none where it is given or not needed."""
        return [f"{self.calibrate}.json".format(**wildcards)] if self.calibrated(wildcards["method"]) else []

    def widths_for(self, wildcards: Mapping[str, str]) -> list[str]:
        """The subnetwork whose number of channels a method takes; none for others."""
        source = self.widths_from(wildcards["method"])
        return [f"{self.prune}.safetensors".format(**{**wildcards, "method": source})] if source else []

    def last_checkpoint(self, wildcards: Mapping[str, str]) -> str:
        """The last checkpoint of a trained network."""
        last = self.experiment(wildcards["experiment"]).pretrain.checkpoint_iterations[-1]
        return f"{self.pretrain}.safetensors".format(**{**wildcards, "iteration": last})

    def finetuned(self, wildcards: Mapping[str, str]) -> list[str]:
        """The subnetwork after fine-tuning; none where the experiment does without."""
        fine = self.experiment(wildcards["experiment"]).finetune
        return [f"{self.finetune}.safetensors".format(**wildcards)] if fine else []

    def prepared(self, experiment: str) -> list[str]:
        return [f"{self.data}.safetensors".format(dataset=self.experiment(experiment).dataset)]

    def subsets(self, experiment: str) -> list[str]:
        return self._paths(f"{self.subset}.safetensors", experiment)

    def dense_measurements(self, experiment: str) -> list[str]:
        return self._paths(f"{self.pretrain}.dense.json", experiment)

    def subnetworks(self, experiment: str) -> list[str]:
        return self._paths(f"{self.prune}.safetensors", experiment)

    def evaluations(self, experiment: str) -> list[str]:
        return self._paths(f"{self.evaluate}.json", experiment)

    def measured_terms(self, experiment: str) -> list[str]:
        return self._paths(f"{self.terms}.json", experiment, methods=self.bounded_methods(experiment))

    def observations(self, experiment: str) -> list[str]:
        return self._paths(f"{self.observe}.json", experiment)

    def evaluations_table(self, experiment: str) -> list[str]:
        return [f"{self.collect}.csv".format(experiment=experiment)]

    def answers_table(self, experiment: str) -> list[str]:
        return [f"{self.answers}.csv".format(experiment=experiment)]

    def terms_table(self, experiment: str) -> list[str]:
        """The table of the terms, where there is one."""
        return [f"{self.bounds}.terms.csv".format(experiment=experiment)] if self.bounded_methods(experiment) else []

    def violations_table(self, experiment: str) -> list[str]:
        """At how many points a bound is violated, where there are bounds."""
        if not self.bounded_methods(experiment):
            return []
        return [f"{self.bounds}.violations.csv".format(experiment=experiment)]

    def draws_of_singular_values(self) -> list[str]:
        sizes = self.configuration.random_matrices.smallest_singular_values.examples
        return [f"{self.smallest_singular_values}.json".format(examples=examples) for examples in sizes]

    def draws_of_condition_numbers(self) -> list[str]:
        sizes = self.configuration.random_matrices.condition_numbers.examples
        return [f"{self.condition_numbers}.json".format(examples=examples) for examples in sizes]

    def times_of_all_parts(self) -> list[str]:
        return [f"{self.measured_times}.json".format(part=part) for part in ("layers", "two_layer")]

    def last_checkpoints(self, experiment: str) -> list[str]:
        last = self.experiment(experiment).pretrain.checkpoint_iterations[-1:]
        return self._paths(f"{self.pretrain}.safetensors", experiment, iterations=last)

    def _paths(
        self,
        pattern: str,
        experiment: str,
        iterations: list[int] | None = None,
        methods: list[str] | None = None,
    ) -> list[str]:
        """Every path of an experiment that the pattern gives; of all its iterations and methods, if none are named."""
        chosen = self.experiment(experiment)
        grid = {
            "network": chosen.networks,
            "examples": chosen.examples,
            "seed": chosen.seeds,
            "iteration": iterations or chosen.pretrain.checkpoint_iterations,
            "method": chosen.methods if methods is None else methods,
        }
        names = [name for name in grid if f"{{{name}}}" in pattern]
        cells = itertools.product(*(grid[name] for name in names))
        return [pattern.format(experiment=experiment, **dict(zip(names, cell, strict=True))) for cell in cells]

    def reported(self, experiment: str) -> list[str]:
        """The figures and tables that the report shows."""
        if experiment == RANDOM_MATRICES:
            endings = ("2.png", "2.fits.csv", "2.csv", "3.png", "3.csv")
            return [f"{self.random_matrices}/figures/figure{ending}" for ending in endings]
        if experiment == PRUNING_TIMES:
            return [f"{self.pruning_times}/figures/figure4.{ending}" for ending in ("png", "csv")]
        paths = [f"{self.figures}/answers.png", f"{self.answers}.csv"]
        if self.configuration.kind_of(experiment) == "deep":
            paths += [f"{self.figures}/accuracy.png", f"{self.accuracy_table}.csv"]
        else:
            paths += [f"{self.figures}/figure1.png", f"{self.figures}/curves.png"]
        paths += [f"{self.required}.csv", f"{self.collect}.csv"]
        if self.bounded_methods(experiment):
            paths += [f"{self.figures}/{name}.png" for name in ("bounds", "terms", "thresholds")]
            paths += [f"{self.bounds}.violations.csv", f"{self.bounds}.terms.csv"]
            paths += [f"{self.thresholds}.csv", f"{self.thresholds}.laws.csv"]
        if self.watched(experiment):
            paths += [f"{self.figures}/stopping.png", f"{self.stopping}.scores.csv", f"{self.stopping}.csv"]
        if self.compared(experiment):
            paths.append(f"{self.figures}/methods.png")
        return [path.format(experiment=experiment) for path in paths]

    def judged_figures(self) -> list[tuple[str, str]]:
        """The pictures that show what the claims are judged on: path, and the target whose they are."""
        return [
            (path, target)
            for target in self.configuration.targets
            if not self.configuration.switched_off(target)
            for path in self.reported(target)
            if path.endswith(".png")
        ]

    def scores_table(self, experiment: str) -> list[str]:
        """How the stopping rules did, where they were scored."""
        return [f"{self.stopping}.scores.csv".format(experiment=experiment)] if self.watched(experiment) else []

    def reports(self) -> dict[str, str]:
        """The report of each target."""
        targets = self.configuration.targets
        return {
            target: f"{self.report}.html".format(experiment=target)
            for target in targets
            if not self.configuration.switched_off(target)
        }

    def verdicts(self) -> list[str]:
        """Which claims hold, of all targets together: the table, and the page that people read."""
        return [f"{self.claims}.csv".format(), f"{self.verdict}.html".format()]

    def products(self, experiment: str) -> list[str]:
        """What people read of an experiment, and where a longer run would go on from; nothing if it is switched off."""
        if self.configuration.switched_off(experiment):
            return []
        page = f"{self.report}.html".format(experiment=experiment)
        if experiment in (RANDOM_MATRICES, PRUNING_TIMES):
            return [*self.reported(experiment), page]
        # The plans are asked for, too: Snakemake does not miss one while the table that it belongs to is there.
        tables = {
            "evaluations": True,
            "bounds": bool(self.bounded_methods(experiment)),
            "methods": self.compared(experiment),
            "stopping": self.watched(experiment),
        }
        plans = [self.plan_path(experiment, table) for table, made in tables.items() if made]
        return [*plans, *self.reported(experiment), page, *self.last_checkpoints(experiment)]

    def products_by_name(self, experiment: str) -> list[str]:
        """The same for an experiment that is asked for by name. Raises UserError if it is switched off."""
        if self.configuration.switched_off(experiment):
            dataset = self.experiment(experiment).dataset
            raise UserError(
                f"experiments.{experiment}: its images are not named; set datasets.{dataset}.path to their folder"
            )
        if experiment in self.configuration.experiments:
            self.check_networks(experiment)
        return self.products(experiment)

    # ---- checks before any job

    def check_style(self) -> None:
        """Raises UserError for colours that cannot be drawn: before any figure is deleted to be drawn anew."""
        style = self.configuration.figures
        if FigureStyle.model_validate(style.model_dump(exclude={"accuracy"})) != FigureStyle():
            # Slow to import, and only those who change the style need it.
            from goodsubnet.plots.canvas import check_colours

            check_colours(style)

    def check_networks(self, experiment: str) -> None:
        """Raises UserError where a network's file builds none, or a checkpoint from elsewhere is not there."""
        chosen = self.experiment(experiment)
        self.configuration.check_files(experiment)
        foreign = [name for name in chosen.networks if self.elsewhere(name)]
        grid = itertools.product(foreign, chosen.examples, chosen.seeds, chosen.pretrain.checkpoint_iterations)
        for network, examples, seed, iteration in grid:
            cell = {"experiment": experiment, "network": network, "examples": examples}
            path = self.foreign_checkpoint({**cell, "seed": seed, "iteration": iteration})
            try:
                check_imported(path, content=False)
            except UserError as error:
                raise UserError(f"networks.{network}.checkpoints: {error}") from None

    def check_folders(self) -> None:
        """Raises UserError where nothing could be written, or where a folder of images does not fit its experiments."""
        results = Path(self.configuration.results_dir)
        if results.exists() and not results.is_dir():
            raise UserError(f"results_dir: {results} is not a folder; name another one")
        nearest = next(folder for folder in [results, *results.absolute().parents] if folder.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise UserError(f"results_dir: {nearest} cannot be written; name another folder or change its rights")
        for name in self.configuration.target_experiments:
            dataset = self.configuration.datasets[self.experiment(name).dataset]
            self.check_networks(name)
            # Once the images are stored, the folder may be gone.
            folder = Path(self.configuration.data_dir, dataset.path) if dataset.source == "folder" else None
            if folder and (folder.exists() or not Path(self.prepared(name)[0]).exists()):
                classes = train_class_counts(dataset.path, self.configuration.data_dir)
                try:
                    self.configuration.check_classes(name, list(classes), list(classes.values()))
                except ValueError as error:
                    raise UserError(str(error)) from None
