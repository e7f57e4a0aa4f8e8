"""The threshold in pre-training iterations by number of examples, with the laws and Theorem 3 beside it."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 70
TITLE = "Theory: the threshold against the examples"
HEADING = "the threshold against the number of examples"
FORM: "Form" = "curves"
TABLES = ("thresholds", "laws")
KINDS = ("two_layer",)


class Settings(FigureSettings):
    pass


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.thresholds import thresholds_figure

    return thresholds_figure(tables["thresholds"], tables["laws"], settings.style)
