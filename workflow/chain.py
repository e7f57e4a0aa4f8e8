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
from goodsubnet.settings import Configuration, Experiment, FigureStyle

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
        self.plan = f"{experiment}/plan/{{digest}}"
        self.collect = f"{experiment}/evaluations"
        self.required = f"{experiment}/required_pretraining"
        self.figures = f"{experiment}/figures"
        self.report = f"{experiment}/report"
        self.logs = f"{root}/logs"
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
            f"networks.{architecture.kind}"
        ]

    def _prune(self, experiment: str, network: str, method: str) -> tuple[dict[str, Any], list[str]]:
        architecture = self.configuration.networks[network]
        selection = self.configuration.methods[method]
        chosen = {
            "method": selection.model_dump(),
            **self._reading(experiment, network),
            "threads": self.configuration.threads.prune,
        }
        return chosen, [f"methods.{selection.algorithm}", f"networks.{architecture.kind}"]

    def _evaluate(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        architecture = self.configuration.networks[network]
        return self._reading(experiment, network), [f"networks.{architecture.kind}"]

    def _reading(self, experiment: str, network: str) -> dict[str, Any]:
        """What is needed to compute the outputs of a trained network's neurons and their loss."""
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        return {
            "kind": architecture.kind,
            "activation": architecture.activation,
            "loss": pretrain.loss,
            "inputs": pretrain.inputs,
        }

    def _plan(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        """The whole grid of an experiment, with where each artifact lies and the settings it must have."""
        chosen = self.experiment(experiment)
        stages = {
            "prepare": self.settings("prepare", dataset=chosen.dataset),
            "subset": self.settings("subset", experiment=experiment),
        }
        for network in chosen.networks:
            stages[f"pretrain {network}"] = self.settings("pretrain", experiment=experiment, network=network)
            stages[f"evaluate {network}"] = self.settings("evaluate", experiment=experiment, network=network)
            for method in chosen.methods:
                key = f"prune {network} {method}"
                stages[key] = self.settings("prune", experiment=experiment, network=network, method=method)
        paths = {
            "prepare": f"{self.data}.safetensors",
            "subset": f"{self.subset}.safetensors",
            "pretrain": f"{self.pretrain}.safetensors",
            "dense": f"{self.pretrain}.dense.json",
            "prune": f"{self.prune}.safetensors",
            "evaluate": f"{self.evaluate}.json",
        }
        grid = {
            "experiment": experiment,
            "dataset": chosen.dataset,
            "networks": {name: self.configuration.networks[name].width for name in chosen.networks},
            "methods": list(chosen.methods),
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
        figures = self.configuration.figures
        return {"accuracy": figures.accuracy, "style": figures.model_dump(exclude={"accuracy"})}, []

    def _report(self) -> tuple[dict[str, Any], list[str]]:
        return {}, []

    def _required_pretraining(self) -> tuple[dict[str, Any], list[str]]:
        return {"accuracy": self.configuration.figures.accuracy}, []

    # ---- paths with their wildcards filled in

    def plan_path(self, experiment: str) -> str:
        """The plan of an experiment; its name is a short hash of all that the tables are made from."""
        content = as_json(self.settings("plan", experiment=experiment))
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return f"{self.plan}.json".format(experiment=experiment, digest=digest)

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

    def last_checkpoints(self, experiment: str) -> list[str]:
        last = self.experiment(experiment).pretrain.checkpoint_iterations[-1:]
        return self._paths(f"{self.pretrain}.safetensors", experiment, iterations=last)

    def _paths(self, pattern: str, experiment: str, iterations: list[int] | None = None) -> list[str]:
        """Every path of an experiment that the pattern gives."""
        chosen = self.experiment(experiment)
        grid = {
            "network": chosen.networks,
            "examples": chosen.examples,
            "seed": chosen.seeds,
            "iteration": iterations or chosen.pretrain.checkpoint_iterations,
            "method": chosen.methods,
        }
        names = [name for name in grid if f"{{{name}}}" in pattern]
        cells = itertools.product(*(grid[name] for name in names))
        return [pattern.format(experiment=experiment, **dict(zip(names, cell, strict=True))) for cell in cells]

    def reported(self, experiment: str) -> list[str]:
        """The figures and tables that the report shows."""
        figures = [f"{self.figures}/figure1.png", f"{self.figures}/curves.png"]
        paths = [*figures, f"{self.required}.csv", f"{self.collect}.csv"]
        return [path.format(experiment=experiment) for path in paths]

    def products(self, experiment: str) -> list[str]:
        """What people read of an experiment, and where a longer run would go on from."""
        page = f"{self.report}.html".format(experiment=experiment)
        # The plan is asked for, too: Snakemake does not miss it while the table that it belongs to is there.
        return [self.plan_path(experiment), *self.reported(experiment), page, *self.last_checkpoints(experiment)]

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
        for name in self.configuration.targets:
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
