"""Figure 4: how long pruning takes with one worker and with several."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from goodsubnet.settings.base import Count, Model, Name


class LayerTimes(Model):
    """Of a deep network, a layer in each of some blocks; the images are noise, on which the time does not depend."""

    architecture: Name = Field("resnet34", description="as of a deep network under `networks`")
    form: Literal["cifar", "imagenet"] = Field("cifar", description="as of a deep network under `networks`")
    size: Count = Field(32, description="height and width of the images, in pixels")
    blocks: Annotated[list[str], Field(min_length=1)] = Field(
        ["layer1.1", "layer2.1", "layer3.1", "layer4.1"],
        description="modules of the network; of each, the first layer that can be pruned",
    )
    steps: Count = Field(2, description="selection steps")
    candidates: Count = Field(50, description="channels tried in a step, all of them computed")
    batch_size: Count = Field(16, description="images in a step's mini-batch")
    probe_size: Count = Field(128, description="images on which the accuracy is checked after each step")


class NeuronTimes(Model):
    """Of a two-layer network, at initialisation, on images of noise."""

    width: Count = Field(20000, description="hidden neurons")
    examples: Count = Field(5000, description="images")
    inputs: Count = Field(784, description="numbers in an image")
    loss: Literal["logistic", "squared"] = Field("logistic", description="of the selection")
    steps: Count = Field(200, description="selection steps")


class PruningTimes(Model):
    """Figure 4, which needs no data; made where `targets` names `pruning_times`. Nothing else runs beside it."""

    workers: Annotated[list[Count], Field(min_length=1)] = Field(
        [1, 2, 4], description="numbers of workers; with accelerators a worker has one of its own, while there are"
    )
    repetitions: Count = Field(5, description="measurements of each, in turns")
    threads: Count = Field(1, description="cores of a worker")
    layers: LayerTimes = Field(default_factory=LayerTimes, description="of a deep network")
    two_layer: NeuronTimes = Field(default_factory=NeuronTimes, description="of a two-layer network")

    @model_validator(mode="after")
    def _something_for_each_worker(self) -> "PruningTimes":
        most = max(self.workers)
        for what, number in (("candidates", self.layers.candidates), ("neurons", self.two_layer.width)):
            if most > number:
                raise ValueError(f"workers: there are {most}, but only {number} {what}; set fewer")
        return self
