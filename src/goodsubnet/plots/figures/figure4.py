"""Figure 4: the time that pruning takes with one worker and with several."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 130
TITLE = "Figure 4: pruning time with several workers"
HEADING = "pruning with several workers (Figure 4)"
FORM: "Form" = "bars"
TABLES = ("pruning_times",)
KINDS = ()


class Settings(FigureSettings):
    pass


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.pruning_times import figure4

    return figure4(tables["pruning_times"], settings.style)
