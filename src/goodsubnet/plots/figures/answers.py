"""How much of the pre-training is enough, and what stopping there costs."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 10
TITLE = "Enough pre-training, and what stopping there costs"
HEADING = "enough pre-training, and what stopping there costs"
FORM: "Form" = "marks"
TABLES = ("answers",)
KINDS = ("two_layer", "deep")


class Settings(FigureSettings):
    method: str
    margin: float


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.answers import answers_figure

    return answers_figure(tables["answers"], settings.method, settings.margin, settings.style)
