"""Figure 1: accuracy of the subnetworks against pre-training and number of examples."""

from typing import TYPE_CHECKING, Literal

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Tables

PLACE = 30
TITLE = "Figure 1: accuracy of the subnetworks"
HEADING = "accuracy of the subnetworks (Figure 1)"
FORM: Literal["bars", "curves", "map", "marks"] = "map"
TABLES = ("evaluations",)
KINDS = ("two_layer",)


class Settings(FigureSettings):
    method: str
    accuracy: str


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.accuracy import figure1

    return figure1(tables["evaluations"], settings.style, settings.method, settings.accuracy)
