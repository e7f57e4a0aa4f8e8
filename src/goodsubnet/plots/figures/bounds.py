"""The bounds on the loss of the subnetworks beside what was measured."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 50
TITLE = "Theory: the bounds against the measured loss"
HEADING = "the bounds against the measured loss"
FORM: "Form" = "curves"
TABLES = ("bounds",)
KINDS = ("two_layer",)


class Settings(FigureSettings):
    bounded_method: str


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.bounds import bounds

    return bounds(tables["bounds"], settings.style, settings.bounded_method)
