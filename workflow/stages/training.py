"""The dense networks: trained from one checkpoint to the next, or taken up from elsewhere."""

import re
from typing import ClassVar

from machine import READER, SMALL, START_OF_DEEP, WITH_TORCH, Machine

from goodsubnet.settings.methods import EVALUATED_AT_ONCE
from goodsubnet.settings.stages import (
    AdoptSettings,
    DeepAdoptSettings,
    DeepPretrainSettings,
    PretrainSettings,
    TwoLayerAdoptSettings,
    TwoLayerPretrainSettings,
)
from goodsubnet.settings.training import DeepPretrain, Pretrain
from stages.base import CELL, Cost, Elsewhere, Input, Names, Needed, NetworkStage, Output

# Gradients of the activations, and what the allocator keeps.
BESIDE_SAVED = 1.5
# A pass over inputs that are mostly zero takes so much more than their share that is not: 0.32 of a whole pass for
# MNIST, of which 0.19 are not (benchmarks/two_layer.py).
OF_NONZERO = 1.7
# Training on the processor computes two passes at 0.8 of a bare product's speed, and a machine's rate is half of that;
# on an accelerator three at the rate.
PASSES, ACCELERATED_PASSES = 1.25, 3


class TwoLayerSizes:
    """MB of what a job of a two-layer network holds."""

    def __init__(self, stage: NetworkStage, names: Names) -> None:
        inputs, examples = stage.image_numbers(names), int(names["examples"])
        self.examples, self.inputs, self.test = examples, inputs, stage.test_images(names)
        self.width = stage.configuration.two_layer(names["network"]).width
        # The images in float32, and once more as they are copied to the device or made unit vectors.
        self.images = 8e-6 * inputs * (examples + self.test)
        self.weights = 4e-6 * (inputs + 1) * self.width
        self.outputs = 4e-6 * examples * self.width
        # Multiply-adds of an example, counted as two, that take time.
        nonzero = stage.configuration.datasets[stage.experiment(names).dataset].nonzero()
        self.forward = 2 * inputs * self.width * min(1, OF_NONZERO * nonzero)

    @property
    def checkpoint(self) -> float:
        """Bytes of a checkpoint."""
        return 4.0 * self.width * (self.inputs + 1)


def deep_memory(stage: NetworkStage, names: Names, machine: Machine, batch: int, processes: int = 1) -> float:
    """MB of a job of a deep network that sends so many images through it at once, in so many processes."""
    cost, inputs = stage.configuration.deep(names["network"]).cost(), stage.image_numbers(names)
    images = 2e-6 * inputs * (int(names["examples"]) + stage.test_images(names))
    if stage.configuration.datasets[stage.experiment(names).dataset].streamed:
        images = READER * stage.configuration.readers
    # Measured on two cores: 1.4 GB for a MobileNetV2 of a quarter of the width (0.6 GB saved) in batches of 128.
    saved = cost.saved * (inputs / 3) / cost.size**2 * batch * BESIDE_SAVED
    # Weights, gradients, momentum, the checkpoint and its bytes.
    weights = 20e-6 * cost.most_parameters
    start = (WITH_TORCH + machine.cuda) * processes
    return start + images * processes + weights + (0 if machine.accelerated else saved)


def deep_forward(stage: NetworkStage, names: Names, machine: Machine) -> float:
    """Seconds of an image's pass through a deep network."""
    cost = stage.configuration.deep(names["network"]).cost()
    return 2 * cost.slowness * cost.multiply_adds * (stage.image_numbers(names) / 3) / cost.size**2 / machine.rate


class DenseNetwork(NetworkStage):
    """A checkpoint of a dense network, however it came about."""

    path = f"{{experiment}}/pretrain/{CELL}"
    outputs: ClassVar[dict[str, Output]] = {"checkpoint": Output(".safetensors"), "dense": Output(".dense.json")}

    def devices(self, names: Names) -> int:
        return 1 if self.kind(names) == "deep" else 0


class PretrainStage(DenseNetwork):
    """Train a network from one checkpoint to the next, and measure the dense network there."""

    name = "pretrain"
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "previous": Input("pretrain", iteration="previous"),
    }
    passed = ("seed", "iteration")
    given = ("machine", "saving", "kept")
    start = 1.5

    def settings(self, names: Names) -> PretrainSettings:
        # Neither the length of the training nor its other checkpoints: a longer run adds segments and changes none.
        pretrain, configuration = self.experiment(names).pretrain, self.configuration
        chosen = pretrain.model_dump(exclude={"iterations", "checkpoints"})
        named = {"experiment": names["experiment"], "network": names["network"]}
        machine = {"threads": configuration.threads.pretrain, "deterministic": configuration.deterministic}
        architecture = configuration.networks[names["network"]].as_architecture()
        model = DeepPretrainSettings if isinstance(pretrain, DeepPretrain) else TwoLayerPretrainSettings
        return model.model_validate({**named, "architecture": architecture, **chosen, **machine})

    def modules(self, names: Names) -> list[str]:
        return [f"stages.{self.kind(names)}.pretrain", *self.chain.architecture_code(names["network"])]

    def constraints(self) -> dict[str, str]:
        return {"network": f"(?!(?:{elsewhere(self)})/)[^/]+"}

    def processes(self, names: Names) -> int:
        """How many train a network together."""
        pretrain = self.experiment(names).pretrain
        return pretrain.processes if isinstance(pretrain, DeepPretrain) else 1

    def threads(self, names: Names) -> int:
        return self.configuration.threads.pretrain * self.processes(names)

    def devices(self, names: Names) -> int:
        return self.processes(names)

    def memory(self, names: Names, machine: Machine) -> float:
        if self.kind(names) == "deep":
            return deep_memory(
                self, names, machine, int(self.experiment(names).pretrain.batch_size), self.processes(names)
            )
        sizes = TwoLayerSizes(self, names)
        # Measured for 50,000 examples and a width of 20,000: 0.65 GB on the processor, and by torch 1.43 GB (5 copies
        # of the weights: initial, trained, gradient, checkpoint and its bytes).
        held = sizes.images + 5 * sizes.weights + 12e-6 * self.rows(names) * sizes.width
        return (WITH_TORCH + machine.cuda if machine.accelerated else SMALL) + held

    def cost(self, names: Names, machine: Machine) -> Cost:
        segment, kept = self.segment(names)
        examples = int(names["examples"]) + self.test_images(names)
        if self.kind(names) == "deep":
            batch = int(self.experiment(names).pretrain.batch_size)
            images = 3 * batch * segment + examples
            size = 8.0 * self.configuration.deep(names["network"]).cost().parameters * kept + 1e4
            return Cost(START_OF_DEEP + images * deep_forward(self, names, machine), size)
        sizes = TwoLayerSizes(self, names)
        passes = ACCELERATED_PASSES if machine.accelerated else PASSES
        work = (passes * self.rows(names) * segment + examples) * sizes.forward
        return Cost(self.start + work / machine.rate, sizes.checkpoint * kept + 1e4)


class Adopt(DenseNetwork):
    """In place of pretrain, for a network whose checkpoints were trained elsewhere."""

    name = "adopt"
    inputs: ClassVar[dict[str, Needed]] = {
        "data": Input("prepare"),
        "subset": Input("subset"),
        "foreign": Elsewhere(lambda chain, names: str(chain.configuration.networks[names["network"]].checkpoints)),
    }
    passed = ("iteration",)
    given = ("machine", "kept")

    def settings(self, names: Names) -> AdoptSettings:
        # Of the training, only what is needed to measure the dense network.
        pretrain, threads = self.experiment(names).pretrain, self.configuration.threads.pretrain
        if isinstance(pretrain, Pretrain):
            architecture = self.configuration.two_layer(names["network"]).as_architecture()
            return TwoLayerAdoptSettings(
                architecture=architecture, loss=pretrain.loss, inputs=pretrain.inputs, threads=threads
            )
        chosen = self.configuration.deep(names["network"])
        return DeepAdoptSettings(
            architecture=chosen.as_architecture(),
            mean=chosen.mean,
            std=chosen.std,
            threads=threads,
            deterministic=self.configuration.deterministic,
        )

    def modules(self, names: Names) -> list[str]:
        return [f"stages.{self.kind(names)}.adopt", *self.chain.architecture_code(names["network"])]

    def constraints(self) -> dict[str, str]:
        return {"network": elsewhere(self)}

    def threads(self, names: Names) -> int:
        return self.configuration.threads.pretrain

    def memory(self, names: Names, machine: Machine) -> float:
        if self.kind(names) == "deep":
            return deep_memory(self, names, machine, EVALUATED_AT_ONCE)
        # It reads the foreign file with torch, and makes the hidden outputs of a part in blocks of 64 MB.
        sizes = TwoLayerSizes(self, names)
        return WITH_TORCH + sizes.images + 3 * sizes.weights

    def cost(self, names: Names, machine: Machine) -> Cost:
        _, kept = self.segment(names)
        examples = int(names["examples"]) + self.test_images(names)
        if self.kind(names) == "deep":
            size = 4.0 * self.configuration.deep(names["network"]).cost().parameters * kept + 1e4
            return Cost(START_OF_DEEP + examples * deep_forward(self, names, machine), size)
        sizes = TwoLayerSizes(self, names)
        return Cost(self.start + examples * sizes.forward / machine.rate, sizes.checkpoint * kept + 1e4)


def elsewhere(stage: NetworkStage) -> str:
    """Networks whose checkpoints were trained elsewhere, as a regular expression, which may match none."""
    networks = stage.configuration.networks
    return "|".join(re.escape(name) for name, network in networks.items() if network.elsewhere) or "(?!)"
