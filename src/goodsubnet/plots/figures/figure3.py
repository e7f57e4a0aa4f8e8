"""Figure 3: the condition number of standard Gaussian matrices over examples and neurons."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 120
TITLE = "Figure 3: condition number over the size"
HEADING = "condition numbers (Figure 3)"
FORM: "Form" = "map"
TABLES = ("condition_numbers",)
KINDS = ()


class Settings(FigureSettings):
    pass


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.random_matrices import figure3

    return figure3(tables["condition_numbers"], settings.style)
