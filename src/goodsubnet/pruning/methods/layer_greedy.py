"""Greedy forward selection in a deep network, layer by layer."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from goodsubnet.errors import UserError
from goodsubnet.settings import Count, Distributed, LayerMethodSettings
from goodsubnet.settings.methods import FORWARDS_OF_A_PRUNING

if TYPE_CHECKING:
    import numpy as np

    from goodsubnet.pruning.contract import LayerContext
    from goodsubnet.selection.layers import LayerSelection


Share = Annotated[float, Field(gt=0, lt=1)]


class Settings(Distributed, LayerMethodSettings):
    """Algorithm 1 on the channels of each layer in turn, from input to output, as Ye et al. (ICML 2020) apply it."""

    tolerance: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="share of the accuracy that a layer may cost; the larger, the smaller the network"
    )
    flops_ratio: Share | None = Field(
        None,
        description="multiply-adds of the pruned network over the dense one's; the tolerance is searched, on the last "
        "checkpoint of each network, and serves its other checkpoints, too",
    )
    flops_margin: Share = Field(0.01, description="how far the multiply-adds may be from `flops_ratio`")
    candidates: Count | None = Field(None, description="channels tried in a step, drawn at random; null: all")
    replacement: bool = Field(True, strict=True, description="whether a channel may be chosen again, which weights it")
    batch_size: Count = Field(128, description="images in a step's mini-batch")
    probe_size: Count = Field(1024, description="training images on which the accuracy is checked")
    batch_accuracy: Annotated[float, Field(ge=0, le=1)] = Field(
        0.95,
        description="the accuracy is checked only where the mini-batch's own is at least this share of the accuracy "
        "before the layer",
    )
    max_steps: Count | None = Field(
        None,
        description="a layer that needs more steps stays whole; null: as many as it has channels",
    )
    search: Literal["ranked", "exact"] = Field(
        "ranked",
        description="`exact` computes the loss of every candidate, `ranked` of those that a prediction to first order "
        "does not rule out",
    )

    @property
    def given_tolerance(self) -> float | None:
        return self.tolerance

    @property
    def asked_ratio(self) -> tuple[float, float] | None:
        return None if self.flops_ratio is None else (self.flops_ratio, self.flops_margin)

    @property
    def probe_images(self) -> int:
        return self.probe_size

    @property
    def images_at_once(self) -> int:
        return self.batch_size

    def forward_images(self, examples: int) -> float:
        return FORWARDS_OF_A_PRUNING * (min(self.batch_size, examples) + min(self.probe_size, examples))

    @model_validator(mode="after")
    def _one_target(self) -> "Settings":
        if (self.tolerance is None) == (self.flops_ratio is None):
            raise ValueError("give either tolerance or flops_ratio: one of them says how far to prune")
        return self

    @model_validator(mode="after")
    def _something_for_each_worker(self) -> "Settings":
        if self.candidates is not None and self.candidates < self.workers:
            raise ValueError(f"workers: there are {self.workers}, but a step has only {self.candidates} candidates")
        return self


def select(context: "LayerContext", settings: Settings) -> "LayerSelection":
    from goodsubnet.selection.layers import greedy_layer_selection

    tolerance = context.tolerance
    if tolerance is None:
        raise UserError("layer_greedy needs a tolerance: give it, or flops_ratio, for which it is searched")

    def reached(gains: "np.ndarray", batch_accuracy: float) -> bool:
        if batch_accuracy < settings.batch_accuracy * context.accuracy:
            return False
        return context.masked_accuracy(gains) >= (1 - tolerance) * context.accuracy

    return greedy_layer_selection(
        context.split,
        lambda step: context.batch(step, settings.batch_size),
        reached,
        candidates=settings.candidates,
        replacement=settings.replacement,
        max_steps=settings.max_steps,
        search=settings.search,
        generator_key=(context.seed, context.index),
        workers=context.workers,
    )
