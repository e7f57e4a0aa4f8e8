"""The chain as paths and settings: what the rules ask, and nobody else knows.

A stage's settings hold what its result depends on and no more, with the fingerprint of its code, as one sorted JSON
string: Snakemake compares the parameters of a rule as a set of values, so two that swapped would go unnoticed.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goodsubnet.data.folder import train_class_counts
from goodsubnet.errors import UserError
from goodsubnet.fingerprint import fingerprint
from goodsubnet.settings import RANDOM_MATRICES, Configuration, Experiment, FigureStyle

SCRIPTS = Path(__file__).parent.parent / "scripts"

CELL = "{network}/examples-{examples}/seed-{seed}/iteration-{iteration}"


class Chain:
    """Paths with wildcards, the settings of each stage, and the targets of a configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._settings: dict[tuple, dict[str, Any]] = {}
        root = configuration.results_dir.rstrip("/").replace("{", "{{").replace("}", "}}")
        experiment = f"{root}/{{experiment}}"
        self.data = f"{root}/data/{{dataset}}/images"
        self.subset = f"{experiment}/subset/examples-{{examples}}/seed-{{seed}}"
        self.pretrain = f"{experiment}/pretrain/{CELL}"
        self.prune = f"{experiment}/prune/{{method}}/{CELL}"
        self.evaluate = f"{experiment}/evaluate/{{method}}/{CELL}"
        self.terms = f"{experiment}/terms/{{method}}/{CELL}"
        self.plan = f"{experiment}/plan/{{table}}/{{digest}}"
        self.collect = f"{experiment}/evaluations"
        self.required = f"{experiment}/required_pretraining"
        self.bounds = f"{experiment}/theory/bounds"
        self.thresholds = f"{experiment}/theory/thresholds"
        self.figures = f"{experiment}/figures"
        self.report = f"{experiment}/report"
        self.logs = f"{root}/logs"
        self.random_matrices = f"{root}/{RANDOM_MATRICES}"
        self.smallest_singular_values = f"{self.random_matrices}/smallest_singular_values/examples-{{examples}}"
        self.condition_numbers = f"{self.random_matrices}/condition_numbers/examples-{{examples}}"
        self.cell = CELL

    def experiment(self, name: str) -> Experiment:
        return self.configuration.experiments[name]

    # ---- settings of the stages

    def settings(self, stage: str, **names: str) -> dict[str, Any]:
        """Settings of a stage, with its fingerprint. names: which experiment, network ... it is for."""
        key = (stage, *sorted(names.items()))
        if key not in self._settings:
            chosen, modules = getattr(self, f"_{stage}")(**names)
            self._settings[key] = chosen | {"code": fingerprint(SCRIPTS / f"{stage}.py", modules)}
        return self._settings[key]

    def _prepare(self, dataset: str) -> tuple[dict[str, Any], list[str]]:
        source = self.configuration.datasets[dataset]
        return source.model_dump(), [f"data.{source.source}"]

    def _subset(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        chosen = self.experiment(experiment)
        return {"dataset": chosen.dataset, "shares": chosen.shares}, []

    def _pretrain(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        # Neither the length of the training nor its other checkpoints: a longer run adds segments and changes none.
        chosen = pretrain.model_dump(exclude={"iterations", "checkpoints"})
        names = {"experiment": experiment, "network": network}
        machine = {
            "threads": self.configuration.threads.pretrain,
            "deterministic": self.configuration.deterministic,
        }
        return {**names, "architecture": architecture.model_dump(), **chosen, **machine}, [
            f"stages.{architecture.kind}.pretrain"
        ]

    def _prune(self, experiment: str, network: str, method: str) -> tuple[dict[str, Any], list[str]]:
        architecture = self.configuration.networks[network]
        selection = self.configuration.methods[method]
        chosen = {
            "method": selection.model_dump(),
            **self._reading(experiment, network),
            "threads": self.configuration.threads.prune,
        }
        return chosen, [f"stages.{architecture.kind}.prune", f"methods.{selection.algorithm}"]

    def _evaluate(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        architecture = self.configuration.networks[network]
        return self._reading(experiment, network), [f"stages.{architecture.kind}.evaluate"]

    def _terms(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        chosen = {
            "experiment": experiment,
            "network": network,
            "architecture": architecture.model_dump(),
            "batch_size": pretrain.batch_size,
            "inputs": pretrain.inputs,
            "loss": pretrain.loss,
            "threads": self.configuration.threads.prune,
        }
        return chosen, []

    def _reading(self, experiment: str, network: str) -> dict[str, Any]:
        """What is needed to compute the outputs of a trained network's neurons and their loss."""
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        return {
            "kind": architecture.kind,
            "activation": architecture.activation,
            "loss": pretrain.loss,
            "inputs": pretrain.inputs,
        }

    def _plan(self, experiment: str, table: str) -> tuple[dict[str, Any], list[str]]:
        """What a table is made from: its grid, with where each artifact lies and the settings it must have.

        table: "evaluations", of all methods, or "bounds", of the greedy ones.
        """
        chosen = self.experiment(experiment)
        last, methods = {
            "evaluations": ("evaluate", list(chosen.methods)),
            "bounds": ("terms", self.bounded_methods(experiment)),
        }[table]
        stages = {
            "prepare": self.settings("prepare", dataset=chosen.dataset),
            "subset": self.settings("subset", experiment=experiment),
        }
        for network in chosen.networks:
            stages[f"pretrain {network}"] = self.settings("pretrain", experiment=experiment, network=network)
            stages[f"{last} {network}"] = self.settings(last, experiment=experiment, network=network)
            for method in methods:
                key = f"prune {network} {method}"
                stages[key] = self.settings("prune", experiment=experiment, network=network, method=method)
        paths = {
            "prepare": f"{self.data}.safetensors",
            "subset": f"{self.subset}.safetensors",
            "pretrain": f"{self.pretrain}.safetensors",
            "dense": f"{self.pretrain}.dense.json",
            "prune": f"{self.prune}.safetensors",
            last: f"{getattr(self, last)}.json",
        }
        grid = {
            "experiment": experiment,
            "dataset": chosen.dataset,
            "networks": {name: self.configuration.networks[name].width for name in chosen.networks},
            "methods": methods,
            "examples": list(chosen.examples),
            "seeds": list(chosen.seeds),
            "iterations": chosen.pretrain.checkpoint_iterations,
        }
        return {"plan": {"grid": grid, "paths": paths, "stages": stages}}, []

    def _collect(self) -> tuple[dict[str, Any], list[str]]:
        return {}, []

    def _figure1(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {**self._curves()[0], "method": self.experiment(experiment).methods[0]}, []

    def _curves(self) -> tuple[dict[str, Any], list[str]]:
        return {"accuracy": self.configuration.figures.accuracy, "style": self._style()}, []

    def _style(self) -> dict[str, Any]:
        return self.configuration.figures.model_dump(exclude={"accuracy"})

    def _report(self) -> tuple[dict[str, Any], list[str]]:
        return {}, []

    def _required_pretraining(self) -> tuple[dict[str, Any], list[str]]:
        theory = self.configuration.theory
        return {"accuracy": self.configuration.figures.accuracy, "margin": theory.certificate_margin}, []

    def _bounds(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {"loss": self.experiment(experiment).pretrain.loss, "error": self.configuration.theory.error}, []

    def _thresholds(self) -> tuple[dict[str, Any], list[str]]:
        accuracy = self.configuration.figures.accuracy
        return {"accuracy": accuracy, "margin": self.configuration.theory.threshold_margin}, []

    def _terms_figure(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {"style": self._style(), "method": self.bounded_methods(experiment)[0]}, []

    def _bounds_figure(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return self._terms_figure(experiment)

    def _thresholds_figure(self) -> tuple[dict[str, Any], list[str]]:
        return {"style": self._style()}, []

    def _smallest_singular_values(self, examples: str) -> tuple[dict[str, Any], list[str]]:
        matrices = self.configuration.random_matrices
        grid = matrices.smallest_singular_values.model_dump(include={"inputs", "draws"})
        return {**grid, "widths": matrices.widths_for(int(examples))}, []

    def _condition_numbers(self) -> tuple[dict[str, Any], list[str]]:
        return self.configuration.random_matrices.condition_numbers.model_dump(include={"widths", "draws"}), []

    def _figure2(self) -> tuple[dict[str, Any], list[str]]:
        return {"style": self._style()}, []

    def _figure3(self) -> tuple[dict[str, Any], list[str]]:
        return {"style": self._style()}, []

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

    def bounded_methods(self, experiment: str) -> list[str]:
        """The methods that the bounds speak of: greedy forward selection."""
        methods = self.configuration.methods
        return [name for name in self.experiment(experiment).methods if methods[name].algorithm == "greedy"]

    def measured_terms(self, experiment: str) -> list[str]:
        return self._paths(f"{self.terms}.json", experiment, methods=self.bounded_methods(experiment))

    def terms_table(self, experiment: str) -> list[str]:
        """The table of the terms, where there is one."""
        return [f"{self.bounds}.terms.csv".format(experiment=experiment)] if self.bounded_methods(experiment) else []

    def draws_of_singular_values(self) -> list[str]:
        sizes = self.configuration.random_matrices.smallest_singular_values.examples
        return [f"{self.smallest_singular_values}.json".format(examples=examples) for examples in sizes]

    def draws_of_condition_numbers(self) -> list[str]:
        sizes = self.configuration.random_matrices.condition_numbers.examples
        return [f"{self.condition_numbers}.json".format(examples=examples) for examples in sizes]

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
        figures = [f"{self.figures}/figure1.png", f"{self.figures}/curves.png"]
        paths = [*figures, f"{self.required}.csv", f"{self.collect}.csv"]
        if self.bounded_methods(experiment):
            paths += [f"{self.figures}/{name}.png" for name in ("bounds", "terms", "thresholds")]
            paths += [f"{self.bounds}.violations.csv", f"{self.bounds}.terms.csv"]
            paths += [f"{self.thresholds}.csv", f"{self.thresholds}.laws.csv"]
        return [path.format(experiment=experiment) for path in paths]

    def products(self, experiment: str) -> list[str]:
        """What people read of an experiment, and where a longer run would go on from."""
        page = f"{self.report}.html".format(experiment=experiment)
        if experiment == RANDOM_MATRICES:
            return [*self.reported(experiment), page]
        # The plans are asked for, too: Snakemake does not miss one while the table that it belongs to is there.
        tables = ["evaluations", "bounds"] if self.bounded_methods(experiment) else ["evaluations"]
        plans = [self.plan_path(experiment, table) for table in tables]
        return [*plans, *self.reported(experiment), page, *self.last_checkpoints(experiment)]

    # ---- checks before any job

    def check_style(self) -> None:
        """Raises UserError for colours that cannot be drawn: before any figure is deleted to be drawn anew."""
        style = self.configuration.figures
        if FigureStyle.model_validate(style.model_dump(exclude={"accuracy"})) != FigureStyle():
            # Slow to import, and only those who change the style need it.
            from goodsubnet.plots.canvas import check_colours

            check_colours(style)

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
            # Once the images are stored, the folder may be gone.
            folder = Path(self.configuration.data_dir, dataset.path) if dataset.source == "folder" else None
            if folder and (folder.exists() or not Path(self.prepared(name)[0]).exists()):
                classes = train_class_counts(dataset.path, self.configuration.data_dir)
                try:
                    self.configuration.check_classes(name, list(classes), list(classes.values()))
                except ValueError as error:
                    raise UserError(str(error)) from None


def as_json(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
