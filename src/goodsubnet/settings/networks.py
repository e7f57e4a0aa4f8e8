"""What a network computes."""

from typing import Literal

from pydantic import Field

from goodsubnet.settings.base import Count, Model


class TwoLayer(Model):
    """A hidden layer whose neurons' outputs are averaged: f(x) = (1/N) sum_i b_i act(a_i . x)."""

    kind: Literal["two_layer"] = Field(description="the architecture")
    width: Count = Field(description="hidden neurons, N")
    activation: Literal["relu", "tanh"] = Field("relu", description="`act` of the hidden layer")
    initialisation: Literal["scaled", "unit"] = Field(
        "scaled", description="a_i ~ N(0, I/d) (`scaled`) or N(0, I) (`unit`, the theory's); b_i ~ N(0, 1)"
    )
