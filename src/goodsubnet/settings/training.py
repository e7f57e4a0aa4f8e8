"""How a dense network is trained."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from goodsubnet.settings.base import Count, Iteration, Model, Positive

Loss = Literal["logistic", "squared"]


class EveryCheckpoint(Model):
    every: Count = Field(description="a checkpoint at 0 and then every so many iterations")


class StableFraction(Model):
    stable_fraction: Positive = Field(
        description="share of the largest stable step of gradient descent at initialisation: 2 over the largest "
        "curvature of the loss, which is computed for each sub-dataset and seed"
    )


# The branch is told from the value, so that a fault is that of one branch.
LearningRate = Annotated[
    Annotated[Positive, Tag("union[number]")] | Annotated[StableFraction, Tag("union[fraction]")],
    Discriminator(lambda value: f"union[{'fraction' if isinstance(value, Mapping | StableFraction) else 'number'}]"),
]


class Pretrain(Model):
    """How the dense network is trained."""

    loss: Loss = Field("logistic", description="`logistic` (labels 0, 1) or `squared` (labels -1, 1)")
    iterations: Count = Field(description="length of the training, in iterations")
    checkpoints: EveryCheckpoint | Annotated[list[Iteration], Field(min_length=1)] = Field(
        description="iterations at which a checkpoint is kept and pruned: a rising list, or `every: n`"
    )
    batch_size: Count | Literal["full"] = Field(128, description="images in a batch, or `full`")
    learning_rate: LearningRate = Field(
        description="step of gradient descent on the mean loss of a batch; or `stable_fraction: s`, with "
        "`batch_size: full`: s times the largest stable step at initialisation, of each sub-dataset and seed"
    )
    lr_scaling: Literal["per_neuron", "plain"] = Field(
        "per_neuron", description="`per_neuron` multiplies the step by the width N, `plain` does not"
    )
    inputs: Literal["unit_range", "unit_length"] = Field(
        "unit_range", description="pixels in [0, 1], or each image scaled to length 1 (the theory's)"
    )

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _list_or_every(cls, value: Any) -> Any:
        if not isinstance(value, list) and not (isinstance(value, Mapping) and set(value) == {"every"}):
            raise ValueError(f"a rising list of iterations, as [0, 100, 500], or {{every: n}}, not {value!r}")
        return value

    @model_validator(mode="after")
    def _stable_for_whole_batches(self) -> "Pretrain":
        if isinstance(self.learning_rate, StableFraction) and self.batch_size != "full":
            raise ValueError(
                "learning_rate.stable_fraction is of the step that is stable on the whole sub-dataset; "
                "set batch_size: full, or give the rate as a number"
            )
        return self

    @model_validator(mode="after")
    def _checkpoints_in_order(self) -> "Pretrain":
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
