"""What each stopping rule saves against what it loses."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 80
TITLE = "When to stop: saved against lost"
HEADING = "when to stop: saved against lost"
FORM: "Form" = "map"
TABLES = ("stopping_scores",)
KINDS = ("two_layer", "deep")


class Settings(FigureSettings):
    accuracy: str


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.stopping import stopping_figure

    return stopping_figure(tables["stopping_scores"], settings.style, settings.accuracy)
