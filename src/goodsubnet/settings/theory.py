"""What the theory's tables ask, and the random matrices of Figures 2 and 3."""

from typing import Annotated

from pydantic import Field, model_validator

from goodsubnet.settings.base import Count, Model, Positive


class Theory(Model):
    """What the theory's tables ask of an experiment that is pruned greedily."""

    threshold_margin: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="the measured threshold: from there on the subnetwork's loss is above its lowest by at most this "
        "share of the way from the first checkpoint down to the lowest",
    )
    certificate_margin: Positive = Field(
        0.1,
        description="the certificate: the proved bound is at most this share of the trivial predictor's loss above the "
        "dense network's",
    )
    error: Positive = Field(
        0.01, description="mean loss above the dense network's for which Lemma 1's number of steps is computed"
    )


class SmallestSingularValues(Model):
    """Figure 2: the smallest singular value of tanh(X W^T), X of length-1 rows, against the width."""

    examples: Annotated[list[Count], Field(min_length=1)] = Field([50, 100, 200], description="rows of X, m")
    inputs: Annotated[list[Count], Field(min_length=1)] = Field([10, 50, 100], description="columns of X and W, d")
    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        [500, 1000, 2000, 4000, 8000, 16000], description="rows of W, N"
    )
    least_ratio: Positive = Field(10, description="widths below so many times the examples are left out")
    draws: Count = Field(10, description="matrices drawn for each")


class ConditionNumbers(Model):
    """Figure 3: the condition number of Gaussian matrices, over their size."""

    examples: Annotated[list[Count], Field(min_length=1)] = Field(
        [10, 25, 50, 100, 250, 500, 1000, 2000], description="rows, m"
    )
    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        [10, 25, 50, 100, 250, 500, 1000, 2000, 4000], description="columns, N"
    )
    draws: Count = Field(5, description="matrices drawn for each")


class RandomMatrices(Model):
    """Figures 2 and 3, which need no data; made where `targets` names `random_matrices`."""

    smallest_singular_values: SmallestSingularValues = Field(
        default_factory=SmallestSingularValues, description="Figure 2"
    )
    condition_numbers: ConditionNumbers = Field(default_factory=ConditionNumbers, description="Figure 3")

    @model_validator(mode="after")
    def _something_left(self) -> "RandomMatrices":
        for examples in self.smallest_singular_values.examples:
            if not self.widths_for(examples):
                raise ValueError(
                    f"smallest_singular_values: no width is {self.smallest_singular_values.least_ratio:g} times "
                    f"{examples} examples; add wider ones or lower least_ratio"
                )
        return self

    def widths_for(self, examples: int) -> list[int]:
        """The widths at which Figure 2 shows so many examples."""
        grid = self.smallest_singular_values
        return [width for width in grid.widths if width >= grid.least_ratio * examples]
