"""What each stage's result depends on: its settings, and the fingerprint of its code.

No more and no less than that, as one sorted JSON string: Snakemake compares the parameters of a rule as a set of
values, so two that swapped would go unnoticed.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goodsubnet.fingerprint import fingerprint
from goodsubnet.settings import Configuration, Distributed, Experiment

SCRIPTS = Path(__file__).parent.parent / "scripts"
# A rule must see some checkpoints to stop before the last one.
LEAST_WATCHED = 3
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "scikit-learn's digits"}


class StageSettings:
    """The settings of a configuration's stages. _<stage> gives those of a stage, and the modules it loads by name."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._settings: dict[tuple, dict[str, Any]] = {}

    def experiment(self, name: str) -> Experiment:
        return self.configuration.experiments[name]

    def settings(self, stage: str, **names: str) -> dict[str, Any]:
        """Settings of a stage, with its fingerprint. names: which experiment, network ... it is for."""
        key = (stage, *sorted(names.items()))
        if key not in self._settings:
            chosen, modules = getattr(self, f"_{stage}")(**names)
            self._settings[key] = chosen | {"code": fingerprint(SCRIPTS / f"{stage}.py", modules)}
        return self._settings[key]

    def _prepare(self, dataset: str) -> tuple[dict[str, Any], list[str]]:
        source = self.configuration.datasets[dataset]
        return source.model_dump(exclude={"title"}), [f"data.{source.source}"]

    def _subset(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        chosen = self.experiment(experiment)
        return chosen.model_dump(include={"dataset", "shares", "validation_share"}), []

    def _pretrain(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        # Neither the length of the training nor its other checkpoints: a longer run adds segments and changes none.
        chosen = pretrain.model_dump(exclude={"iterations", "checkpoints"})
        names = {"experiment": experiment, "network": network}
        machine = {"threads": self.configuration.threads.pretrain, "deterministic": self.configuration.deterministic}
        return {**names, "architecture": architecture.as_architecture(), **chosen, **machine}, [
            f"stages.{architecture.kind}.pretrain"
        ]

    def _adopt(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        # Of the training only what the dense network is measured with.
        pretrain, chosen = self.experiment(experiment).pretrain, self.configuration.networks[network]
        settings = {"architecture": chosen.as_architecture(), "threads": self.configuration.threads.pretrain}
        if chosen.kind == "deep":
            settings |= {"mean": chosen.mean, "std": chosen.std, "deterministic": self.configuration.deterministic}
        else:
            settings |= pretrain.model_dump(include={"loss", "inputs"})
        return settings, [f"stages.{chosen.kind}.adopt"]

    def _prune(self, experiment: str, network: str, method: str) -> tuple[dict[str, Any], list[str]]:
        selection = self.configuration.methods[method]
        return self._selection(experiment, network, method), [
            f"stages.{selection.kind}.prune",
            f"methods.{selection.algorithm}",
        ]

    def _calibrate(self, experiment: str, network: str, method: str) -> tuple[dict[str, Any], list[str]]:
        selection = self.configuration.methods[method]
        return self._selection(experiment, network, method), [
            f"stages.{selection.kind}.calibrate",
            f"methods.{selection.algorithm}",
        ]

    def _selection(self, experiment: str, network: str, method: str) -> dict[str, Any]:
        # Several workers choose what one chooses.
        settings = self.configuration.methods[method].model_dump(exclude=set(Distributed.model_fields))
        chosen = {"method": settings, "threads": self.configuration.threads.prune}
        # What a training between the layers of a deep network goes by.
        training = self.experiment(experiment).pretrain.model_dump(include={"augmentation", "precision"})
        return {**chosen, **self._reading(experiment, network), **training}

    def _finetune(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        chosen = self.experiment(experiment)
        training = chosen.pretrain.model_dump(include={"augmentation", "precision"})
        machine = {"threads": self.configuration.threads.pretrain, "deterministic": self.configuration.deterministic}
        return {**chosen.finetune.model_dump(), **training, **machine}, []

    def _evaluate(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        kind = self.configuration.kind_of(experiment)
        machine = {"threads": self.configuration.threads.prune} if kind == "deep" else {}
        return {**self._reading(experiment, network), **machine}, [f"stages.{kind}.evaluate"]

    def _terms(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        chosen = {
            "experiment": experiment,
            "network": network,
            "architecture": architecture.as_architecture(),
            "batch_size": pretrain.batch_size,
            "inputs": pretrain.inputs,
            "loss": pretrain.loss,
            "threads": self.configuration.threads.prune,
        }
        return chosen, []

    def _observe(self, experiment: str, network: str) -> tuple[dict[str, Any], list[str]]:
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        stopping = self.configuration.stopping
        chosen = {
            "experiment": experiment,
            "network": network,
            "architecture": architecture.as_architecture(),
            "kind": architecture.kind,
            "probe": stopping.probe,
            "threads": self.configuration.threads.prune,
        }
        if architecture.kind == "deep":
            chosen |= {"share": stopping.share, "deterministic": self.configuration.deterministic}
        else:
            chosen |= {"inputs": pretrain.inputs, "loss": pretrain.loss}
            chosen["selection"] = self.configuration.observing_selection(experiment)
        return chosen, [f"stages.{architecture.kind}.observe"]

    def _stopping(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        chosen = self.experiment(experiment)
        rules = {name: rule.model_dump() for name, rule in self.configuration.stopping.rules.items()}
        return {
            "rules": rules,
            "accuracy": self.judged_accuracy(experiment),
            "method": chosen.methods[0],
            "iterations": chosen.pretrain.iterations,
            "batch_size": chosen.pretrain.batch_size,
        }, sorted({f"stopping.rules.{rule['rule']}" for rule in rules.values()})

    def _stopping_figure(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {"style": self._style(), "accuracy": self.judged_accuracy(experiment)}, []

    def _reading(self, experiment: str, network: str) -> dict[str, Any]:
        """What is needed to compute the outputs of a trained network and their loss."""
        pretrain, architecture = self.experiment(experiment).pretrain, self.configuration.networks[network]
        if architecture.kind == "deep":
            # The checkpoint itself says what the network is.
            return {"kind": architecture.kind, "deterministic": self.configuration.deterministic}
        return {
            "kind": architecture.kind,
            "activation": architecture.activation,
            "loss": pretrain.loss,
            "inputs": pretrain.inputs,
        }

    def _collect(self) -> tuple[dict[str, Any], list[str]]:
        return {}, []

    def _accuracy_table(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        chosen = self.experiment(experiment)
        dataset = self.configuration.datasets[chosen.dataset]
        return {
            "reference": chosen.paper_table,
            # Numbers of the paper stand only beside networks of its size.
            "architectures": {
                name: network.architecture if network.architecture and network.width_multiplier == 1 else name
                for name, network in ((name, self.configuration.networks[name]) for name in chosen.networks)
            },
            "iterations_per_epoch": math.ceil(
                max(chosen.examples) * (1 - chosen.validation_share) / chosen.pretrain.batch_size
            )
            if chosen.paper_table == "table2"
            else None,
            "title": TITLES.get(dataset.source) or dataset.title or chosen.dataset,
        }, []

    def _accuracy_table_figure(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {"title": self._accuracy_table(experiment)[0]["title"], "style": self._style()}, []

    def _figure1(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {**self._curves()[0], "method": self.experiment(experiment).methods[0]}, []

    def _curves(self) -> tuple[dict[str, Any], list[str]]:
        return {"accuracy": self.configuration.figures.accuracy, "style": self._style()}, []

    def _style(self) -> dict[str, Any]:
        return self.configuration.figures.model_dump(exclude={"accuracy"})

    def _report(self) -> tuple[dict[str, Any], list[str]]:
        return {}, []

    def _required_pretraining(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        accuracy = self.judged_accuracy(experiment)
        return {"accuracy": accuracy, "margin": self.configuration.theory.certificate_margin}, []

    def _answers(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        margin, method = self.configuration.answer.margin, self.experiment(experiment).methods[0]
        return {"accuracy": self.judged_accuracy(experiment), "margin": margin, "method": method}, []

    def _answers_figure(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        margin, method = self.configuration.answer.margin, self.experiment(experiment).methods[0]
        return {"style": self._style(), "margin": margin, "method": method}, []

    def _bounds(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {"loss": self.experiment(experiment).pretrain.loss, "error": self.configuration.theory.error}, []

    def _methods(self) -> tuple[dict[str, Any], list[str]]:
        return {}, []

    def _methods_figure(self, experiment: str) -> tuple[dict[str, Any], list[str]]:
        return {"style": self._style(), "methods": list(self.experiment(experiment).methods)}, []

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

    def _pruning_times(self, part: str) -> tuple[dict[str, Any], list[str]]:
        times = self.configuration.pruning_times
        chosen = getattr(times, part).model_dump()
        if part == "layers":
            names = {name: chosen.pop(name) for name in ("architecture", "form")}
            chosen["architecture"] = {**names, "width_multiplier": 1.0}
            kind, method = "deep", {"algorithm": "layer_greedy"}
        else:
            steps = chosen.pop("steps")
            kind, method = "two_layer", {"algorithm": "greedy", "steps": steps, "distinct": None, "max_steps": steps}
        how = times.model_dump(include={"workers", "repetitions", "threads"})
        return {**chosen, **how, "kind": kind, "method": method}, [
            f"stages.{kind}.pruning_times",
            f"methods.{method['algorithm']}",
        ]

    def _figure4(self) -> tuple[dict[str, Any], list[str]]:
        return {"style": self._style()}, []

    def _claims(self) -> tuple[dict[str, Any], list[str]]:
        return {"experiments": [self._described(name) for name in self.configuration.experiments]}, []

    def _described(self, name: str) -> dict[str, Any]:
        """An experiment, in what the claims are judged by."""
        chosen = self.experiment(name)
        dataset, pretrain = self.configuration.datasets[chosen.dataset], chosen.pretrain
        return {
            "name": name,
            "kind": self.configuration.kind_of(name),
            "source": dataset.source,
            "title": TITLES.get(dataset.source) or dataset.title or chosen.dataset,
            "examples": list(chosen.examples),
            "methods": {method: self.configuration.methods[method].model_dump() for method in chosen.methods},
            "lr_scaling": getattr(pretrain, "lr_scaling", None),
            "loss": pretrain.loss,
            "inputs": getattr(pretrain, "inputs", ""),
            "accuracy": self.judged_accuracy(name),
            "paper_table": chosen.paper_table,
        }

    # ---- what is asked of an experiment

    def judged_accuracy(self, experiment: str) -> str:
        """The accuracy that says how good a subnetwork is; Tables 1 and 2 are of the test accuracy."""
        deep = self.configuration.kind_of(experiment) == "deep"
        return "test_accuracy" if deep else self.configuration.figures.accuracy

    def watched(self, experiment: str) -> bool:
        """Whether the stopping rules are scored on it: with fewer checkpoints there is nothing to stop."""
        return len(self.experiment(experiment).pretrain.checkpoint_iterations) >= LEAST_WATCHED

    # ---- what a network or a method needs

    def elsewhere(self, network: str) -> bool:
        """Whether a network's checkpoints were trained elsewhere."""
        return self.configuration.networks[network].checkpoints is not None

    def bounded_methods(self, experiment: str) -> list[str]:
        """The methods that the bounds speak of: greedy forward selection, of networks that are trained here.

        The theory asks for the initial weights and the rate, which nobody knows of a network from elsewhere.
        """
        methods = self.configuration.methods
        if any(map(self.elsewhere, self.experiment(experiment).networks)):
            return []
        return [name for name in self.experiment(experiment).methods if methods[name].algorithm == "greedy"]

    def compared(self, experiment: str) -> bool:
        """Whether there are several methods of a two-layer network to set side by side."""
        several = len(self.experiment(experiment).methods) > 1
        return several and self.configuration.kind_of(experiment) == "two_layer"

    def calibrated(self, method: str) -> bool:
        """Whether a method's tolerance is found for a share of the multiply-adds."""
        return getattr(self.configuration.methods[method], "flops_ratio", None) is not None

    def widths_from(self, method: str) -> str | None:
        """The method whose number of channels a method takes, if it does."""
        return getattr(self.configuration.methods[method], "widths_from", None)


def as_json(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
