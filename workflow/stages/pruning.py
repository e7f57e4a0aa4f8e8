"""The subnetworks: chosen, for deep networks with a tolerance that was calibrated, trained further, and measured."""

from typing import ClassVar

from machine import SELECTION_SECONDS, SMALL, START_OF_DEEP, START_OF_WORKERS, WITH_TORCH, Machine

from goodsubnet.runtime import plugins
from goodsubnet.settings.methods import (
    EVALUATED_AT_ONCE,
    Distributed,
    LayerMethodSettings,
    MethodSettings,
    NeuronMethodSettings,
)
from goodsubnet.settings.stages import (
    DeepEvaluateSettings,
    EvaluateSettings,
    FinetuneSettings,
    LayerPruneSettings,
    NeuronPruneSettings,
    PruneSettings,
    TwoLayerEvaluateSettings,
)
from goodsubnet.settings.training import DeepPretrain, Pretrain
from stages.base import CELL, NETWORK, Cost, Input, Names, Needed, NetworkStage, Output
from stages.training import TwoLayerSizes, deep_forward, deep_memory

CALIBRATION_TRIES = 8


class Selecting(NetworkStage):
    """A stage that runs a pruning method."""

    given = ("machine", "workers")
    passed = ("seed",)
    tries: ClassVar[int] = 1

    def settings(self, names: Names) -> PruneSettings:
        pretrain, threads = self.experiment(names).pretrain, self.configuration.threads.prune
        # Several workers choose what one chooses.
        alone = {name: field.default for name, field in Distributed.model_fields.items()}
        method = self.method(names)
        if isinstance(method, Distributed):
            method = method.model_copy(update=alone)
        if isinstance(pretrain, Pretrain):
            return NeuronPruneSettings(
                method=method,
                threads=threads,
                activation=self.configuration.two_layer(names["network"]).activation,
                loss=pretrain.loss,
                inputs=pretrain.inputs,
            )
        return LayerPruneSettings(
            method=method,
            threads=threads,
            deterministic=self.configuration.deterministic,
            augmentation=pretrain.augmentation,
            precision=pretrain.precision,
        )

    def modules(self, names: Names) -> list[str]:
        method = plugins.found("methods")[self.method(names).algorithm].source
        return [f"stages.{self.kind(names)}.{self.name}", method, *self.chain.architecture_code(names["network"])]

    def method(self, names: Names) -> MethodSettings:
        return self.configuration.methods[names["method"]]

    def workers(self, names: Names) -> int:
        """How many processes select together."""
        return self.configuration.distributed(names["method"]).workers

    def threads(self, names: Names) -> int:
        return self.configuration.threads.prune * self.workers(names)

    def devices(self, names: Names) -> int:
        return self.workers(names)

    def memory(self, names: Names, machine: Machine) -> float:
        method, workers = self.method(names), self.workers(names)
        if isinstance(method, LayerMethodSettings):
            return deep_memory(self, names, machine, method.images_at_once, workers)
        if not isinstance(method, NeuronMethodSettings):
            raise TypeError(f"{method.algorithm} is of no known kind")
        sizes = TwoLayerSizes(self, names)
        work = method.work(sizes.examples, sizes.inputs, sizes.width)
        if not work.outputs:
            return SMALL + sizes.images + work.weights * sizes.weights
        # Measured: 4.2 GiB for 50,000 examples and a width of 20,000, of which the outputs are 4.0 GB.
        start = (WITH_TORCH + machine.cuda if machine.accelerated or workers > 1 else SMALL) * workers
        return start + sizes.images * workers + work.weights * sizes.weights + 1.1 * work.outputs * sizes.outputs

    def cost(self, names: Names, machine: Machine) -> Cost:
        method, workers = self.method(names), self.workers(names)
        if isinstance(method, LayerMethodSettings):
            images = method.forward_images(int(names["examples"])) * self.tries
            size = 4.0 * self.configuration.deep(names["network"]).cost().parameters
            return Cost(START_OF_DEEP + images * deep_forward(self, names, machine) / workers, size)
        if not isinstance(method, NeuronMethodSettings):
            raise TypeError(f"{method.algorithm} is of no known kind")
        sizes = TwoLayerSizes(self, names)
        work = method.work(sizes.examples, sizes.inputs, sizes.width)
        seconds = work.training / machine.rate
        if work.outputs:
            scores = sizes.examples * sizes.width * work.scores * SELECTION_SECONDS
            seconds += sizes.examples * sizes.forward / machine.rate + scores
        start = self.start + (START_OF_WORKERS if workers > 1 else 0)
        return Cost(start + seconds / workers, 4.0 * method.size * sizes.inputs + 1e4)


class Calibrate(Selecting):
    """Find the tolerance with which a method keeps the requested share of a network's multiply-adds."""

    name = "calibrate"
    path = f"{{experiment}}/calibrate/{{method}}/{NETWORK}"
    outputs: ClassVar[dict[str, Output]] = {"tolerance": Output(".json")}
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "checkpoint": Input("pretrain", iteration="last"),
    }
    tries = CALIBRATION_TRIES


class Prune(Selecting):
    """Choose a subnetwork of a checkpoint."""

    name = "prune"
    path = f"{{experiment}}/prune/{{method}}/{CELL}"
    outputs: ClassVar[dict[str, Output]] = {"subnetwork": Output(".safetensors")}
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "checkpoint": Input("pretrain"),
        "tolerance": Input("calibrate", when=lambda chain, names: chain.calibrated(names["method"])),
        "widths": Input("prune", method=lambda chain, names: chain.configuration.widths_from(names["method"])),
    }


class Finetune(NetworkStage):
    """Train a pruned network further."""

    name = "finetune"
    path = f"{{experiment}}/finetune/{{method}}/{CELL}"
    outputs: ClassVar[dict[str, Output]] = {"network": Output(".safetensors")}
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "subnetwork": Input("prune"),
    }
    passed = ("seed",)
    given = ("machine", "saving")

    def settings(self, names: Names) -> FinetuneSettings:
        chosen = self.experiment(names)
        if chosen.finetune is None or not isinstance(chosen.pretrain, DeepPretrain):
            raise TypeError(f"{names['experiment']} is not fine-tuned")
        return FinetuneSettings(
            **chosen.finetune.model_dump(),
            augmentation=chosen.pretrain.augmentation,
            precision=chosen.pretrain.precision,
            threads=self.configuration.threads.pretrain,
            deterministic=self.configuration.deterministic,
        )

    def modules(self, names: Names) -> list[str]:
        return self.chain.architecture_code(names["network"])

    def threads(self, names: Names) -> int:
        return self.configuration.threads.pretrain

    def devices(self, names: Names) -> int:
        return 1

    def memory(self, names: Names, machine: Machine) -> float:
        finetune = self.experiment(names).finetune
        return deep_memory(self, names, machine, finetune.batch_size if finetune else EVALUATED_AT_ONCE)

    def cost(self, names: Names, machine: Machine) -> Cost:
        finetune = self.experiment(names).finetune
        images = 3 * finetune.batch_size * finetune.iterations if finetune else 0
        size = 4.0 * self.configuration.deep(names["network"]).cost().parameters
        # Of a network about half as large.
        return Cost(START_OF_DEEP + images * deep_forward(self, names, machine) / 2, size)


class Evaluate(NetworkStage):
    """Measure a subnetwork on its sub-dataset and on the test set."""

    name = "evaluate"
    path = f"{{experiment}}/evaluate/{{method}}/{CELL}"
    outputs: ClassVar[dict[str, Output]] = {"measurements": Output(".json")}
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "subnetwork": Input("prune"),
        "finetuned": Input("finetune", when=lambda chain, names: chain.finetuned(names["experiment"])),
    }
    given = ("machine",)
    start = 0.8

    def settings(self, names: Names) -> EvaluateSettings:
        pretrain = self.experiment(names).pretrain
        if isinstance(pretrain, Pretrain):
            activation = self.configuration.two_layer(names["network"]).activation
            return TwoLayerEvaluateSettings(activation=activation, loss=pretrain.loss, inputs=pretrain.inputs)
        return DeepEvaluateSettings(
            threads=self.configuration.threads.prune, deterministic=self.configuration.deterministic
        )

    def modules(self, names: Names) -> list[str]:
        return [f"stages.{self.kind(names)}.evaluate", *self.chain.architecture_code(names["network"])]

    def threads(self, names: Names) -> int:
        return self.configuration.threads.prune if self.kind(names) == "deep" else 1

    def devices(self, names: Names) -> int:
        # A subnetwork of a two-layer network is too small for one.
        return 1 if self.kind(names) == "deep" else 0

    def memory(self, names: Names, machine: Machine) -> float:
        if self.kind(names) == "deep":
            return deep_memory(self, names, machine, EVALUATED_AT_ONCE)
        return SMALL + TwoLayerSizes(self, names).images

    def cost(self, names: Names, machine: Machine) -> Cost:
        examples = int(names["examples"]) + self.test_images(names)
        if self.kind(names) == "deep":
            return Cost(START_OF_DEEP + 2 * examples * deep_forward(self, names, machine), 1e4)
        method = self.configuration.methods[names["method"]]
        size = method.size if isinstance(method, NeuronMethodSettings) else 1
        return Cost(self.start + examples * 2 * self.image_numbers(names) * size / machine.rate, 1e4)
