"""Figure 2: the smallest singular value of tanh features against the width, with fitted curves."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 110
TITLE = "Figure 2: smallest singular value against width"
HEADING = "smallest singular values (Figure 2)"
FORM: "Form" = "curves"
TABLES = ("singular_values", "singular_value_fits")
KINDS = ()


class Settings(FigureSettings):
    pass


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.random_matrices import figure2
    from goodsubnet.theory.text import as_number

    fits = tables["singular_value_fits"].map(as_number)
    return figure2(tables["singular_values"], fits, settings.style)
