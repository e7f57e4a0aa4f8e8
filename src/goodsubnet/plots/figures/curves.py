"""The accuracy of the subnetworks as curves, with the spread over seeds."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 40
TITLE = "The same as curves, with the spread over seeds"
HEADING = "accuracy of the subnetworks, as curves"
FORM: "Form" = "curves"
TABLES = ("evaluations",)
KINDS = ("two_layer",)


class Settings(FigureSettings):
    accuracy: str


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.accuracy import curves

    return curves(tables["evaluations"], settings.style, settings.accuracy)
