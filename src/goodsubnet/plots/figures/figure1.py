"""Figure 1: accuracy of the subnetworks against pre-training and number of examples."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 30
TITLE = "Figure 1: accuracy of the subnetworks"
HEADING = "accuracy of the subnetworks (Figure 1)"
FORM: "Form" = "map"
TABLES = ("evaluations",)
KINDS = ("two_layer",)


class Settings(FigureSettings):
    method: str
    accuracy: str


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.accuracy import figure1

    return figure1(tables["evaluations"], settings.style, settings.method, settings.accuracy)
