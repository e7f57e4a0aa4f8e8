"""The data: a data set as the chain stores it, and sub-datasets of it."""

from typing import ClassVar

from goodsubnet.runtime import plugins
from goodsubnet.settings import places
from goodsubnet.settings.stages import PrepareSettings, SubsetSettings
from stages.base import Input, Names, Needed, Output, Stage


class Prepare(Stage):
    """Read a data set, check its content, and store it."""

    name = "prepare"
    path = places.DATA
    outputs: ClassVar[dict[str, Output]] = {"data": Output(".safetensors")}
    passed = ("dataset",)
    given = ("data_dir",)
    local = True

    def settings(self, names: Names) -> PrepareSettings:
        return PrepareSettings(dataset=self.configuration.datasets[names["dataset"]].stored())

    def modules(self, names: Names) -> list[str]:
        return [plugins.found("sources")[self.configuration.datasets[names["dataset"]].source].source]


class Subset(Stage):
    """Draw a sub-dataset: indices into the training images."""

    name = "subset"
    path = places.SUBSET
    outputs: ClassVar[dict[str, Output]] = {"subset": Output(".safetensors")}
    inputs: ClassVar[dict[str, Needed]] = {"data": Input("prepare")}
    passed = ("examples", "seed")
    local = True
    start = 0.6

    def settings(self, names: Names) -> SubsetSettings:
        chosen = self.experiment(names)
        return SubsetSettings(dataset=chosen.dataset, shares=chosen.shares, validation_share=chosen.validation_share)
