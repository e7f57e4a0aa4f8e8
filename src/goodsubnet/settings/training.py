"""How a dense network is trained."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from goodsubnet.settings.base import Count, Iteration, Model, Positive

Loss = Literal["logistic", "squared"]


class EveryCheckpoint(Model):
    every: Count = Field(description="a checkpoint at 0 and then every so many iterations")


class StableFraction(Model):
    stable_fraction: Positive = Field(
        description="share of the largest stable learning rate of gradient descent at initialisation: 2 over the "
        "largest curvature of the loss, which is computed for each sub-dataset and seed"
    )


# The value decides the branch, so that a fault is that of one branch.
LearningRate = Annotated[
    Annotated[Positive, Tag("union[number]")] | Annotated[StableFraction, Tag("union[fraction]")],
    Discriminator(lambda value: f"union[{'fraction' if isinstance(value, Mapping | StableFraction) else 'number'}]"),
]


class Training(Model):
    """Settings shared by all trainings of dense networks."""

    iterations: Count = Field(description="length of the training, in iterations")
    checkpoints: EveryCheckpoint | Annotated[list[Iteration], Field(min_length=1)] = Field(
        description="iterations at which a checkpoint is kept and pruned: a rising list, or `every: n`"
    )

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _list_or_every(cls, value: object) -> object:
        if not isinstance(value, list) and not (isinstance(value, Mapping) and set(value) == {"every"}):
            raise ValueError(f"a rising list of iterations, as [0, 100, 500], or {{every: n}}, not {value!r}")
        return value

    @model_validator(mode="after")
    def _checkpoints_in_order(self) -> "Training":
        marks = self.checkpoint_iterations
        if any(later <= earlier for earlier, later in itertools.pairwise(marks)):
            raise ValueError(f"checkpoints must rise, and {marks} does not; write them in rising order")
        if marks[-1] > self.iterations:
            raise ValueError(
                f"checkpoint {marks[-1]} lies beyond iterations = {self.iterations}; "
                "raise iterations or drop the checkpoint"
            )
        if isinstance(self.checkpoints, EveryCheckpoint) and self.iterations % self.checkpoints.every:
            raise ValueError(
                f"iterations = {self.iterations} is not a multiple of checkpoints.every = "
                f"{self.checkpoints.every}, so the end of training would have no checkpoint"
            )
        return self

    @property
    def checkpoint_iterations(self) -> list[int]:
        if isinstance(self.checkpoints, EveryCheckpoint):
            return list(range(0, self.iterations + 1, self.checkpoints.every))
        return list(self.checkpoints)


class TwoLayerTraining(Model):
    """How the weights of a two-layer network move: gradient descent on the mean loss of a batch."""

    loss: Loss = Field("logistic", description="`logistic` (labels 0, 1) or `squared` (labels -1, 1)")
    batch_size: Count | Literal["full"] = Field(128, description="images in a batch, or `full`")
    learning_rate: LearningRate = Field(
        description="of gradient descent on the mean loss of a batch; or `stable_fraction: s`, with "
        "`batch_size: full`: s times the largest stable learning rate at initialisation, for each sub-dataset and seed"
    )
    lr_scaling: Literal["per_neuron", "plain"] = Field(
        "per_neuron", description="`per_neuron` multiplies the learning rate by the width N, `plain` does not"
    )
    inputs: Literal["unit_range", "unit_length"] = Field(
        "unit_range", description="pixels in [0, 1], or each image scaled to length 1 (the theory's)"
    )


class Pretrain(TwoLayerTraining, Training):
    """How a two-layer network is trained."""

    @model_validator(mode="before")
    @classmethod
    def _no_keys_of_deep_networks(cls, value: object) -> object:
        given = set(value) if isinstance(value, Mapping) else set()
        deep = sorted(given & (DeepPretrain.model_fields.keys() - cls.model_fields.keys()))
        if deep:
            raise ValueError(
                f"{', '.join(deep)}: for deep networks only, whose loss is cross_entropy; set loss: cross_entropy, or "
                "leave them out"
            )
        return value

    @model_validator(mode="after")
    def _stable_for_whole_batches(self) -> "Pretrain":
        if isinstance(self.learning_rate, StableFraction) and self.batch_size != "full":
            raise ValueError(
                "learning_rate.stable_fraction is of the rate that is stable on the whole sub-dataset; "
                "set batch_size: full, or give the rate as a number"
            )
        return self


class Crop(Model):
    """For small images kept in memory."""

    padding: Iteration = Field(4, description="pixels of black around an image before one of its size is cut out")
    flip: bool = Field(True, strict=True, description="left to right, half of the images")


class ResizedCrop(Model):
    """For images read from files."""

    scale: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        description="smallest and largest share of the area that is cut out and resized"
    )
    flip: bool = Field(True, strict=True, description="as for `padding`")

    @field_validator("scale")
    @classmethod
    def _rising_shares(cls, scale: list[float]) -> list[float]:
        if not scale[0] <= scale[1] <= 1:
            raise ValueError(f"two shares of at most 1, the smaller one first, as [0.2, 1.0], not {scale}")
        return scale


Augmentation = Annotated[
    Annotated[Crop, Tag("union[crop]")] | Annotated[ResizedCrop, Tag("union[resized_crop]")],
    Discriminator(
        lambda value: (
            "union[resized_crop]"
            if isinstance(value, ResizedCrop) or (isinstance(value, Mapping) and "scale" in value)
            else "union[crop]"
        )
    ),
]


class DeepTraining(Model):
    """How weights of a deep network move: stochastic gradient descent on the cross-entropy."""

    batch_size: Count = Field(128, description="images in a batch")
    learning_rate: Positive = Field(description="initial learning rate")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="how the learning rate decays")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of stochastic gradient descent")
    weight_decay: Annotated[float, Field(ge=0)] = Field(5e-4, description="added to the gradient, times the weights")


class Finetune(DeepTraining):
    """How a pruned deep network is trained further; augmented and in the precision of `pretrain`."""

    iterations: Count = Field(description="length, in iterations; a `cosine` falls to 0 over it")


class DeepDescent(DeepTraining):
    """How a deep network is trained, but for how long."""

    loss: Literal["cross_entropy"] = Field(description="`cross_entropy`, over the classes")
    schedule_iterations: Count | None = Field(
        None,
        description="with `cosine`: iterations after which the learning rate is 0; it does not follow `iterations`",
    )
    augmentation: Augmentation | None = Field(
        Crop(),
        description="how training images vary: `padding` and `flip` for images in memory, `scale` and `flip` for "
        "`storage: files`; null: not at all",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the training's products; `auto`: bfloat16 on an accelerator, float32 on a CPU"
    )
    processes: Count = Field(
        1,
        description="processes that share each batch (DistributedDataParallel), one per accelerator; on a CPU they "
        "share cores",
    )


class DeepPretrain(DeepDescent, Training):
    """How a deep network is trained."""

    @model_validator(mode="after")
    def _schedule_long_enough(self) -> "DeepPretrain":
        if self.schedule == "cosine" and self.schedule_iterations is None:
            raise ValueError(
                "schedule: cosine needs schedule_iterations, the iterations after which the learning rate is 0 "
                "(usually those of the whole training); or set schedule: constant"
            )
        if self.schedule == "constant" and self.schedule_iterations is not None:
            raise ValueError("schedule: constant has no use for schedule_iterations; leave it out")
        if self.schedule_iterations is not None and self.iterations > self.schedule_iterations:
            raise ValueError(
                f"iterations = {self.iterations} goes beyond schedule_iterations = {self.schedule_iterations}, where "
                "the learning rate is 0; raise schedule_iterations (which trains again from the start)"
            )
        if self.batch_size % self.processes:
            raise ValueError(f"batch_size = {self.batch_size} cannot be shared evenly by {self.processes} processes")
        return self


def _kind_of_pretrain(value: object) -> str:
    loss = value.get("loss") if isinstance(value, Mapping) else getattr(value, "loss", None)
    return "union[deep]" if loss == "cross_entropy" else "union[two_layer]"


AnyPretrain = Annotated[
    Annotated[Pretrain, Tag("union[two_layer]")] | Annotated[DeepPretrain, Tag("union[deep]")],
    Discriminator(_kind_of_pretrain),
]
