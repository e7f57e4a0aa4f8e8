"""All pruning methods side by side: loss against size, and at equal size against cost."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 90
TITLE = "All pruning methods at equal size"
HEADING = "pruning methods side by side"
FORM: "Form" = "curves"
TABLES = ("methods",)
KINDS = ("two_layer",)


class Settings(FigureSettings):
    methods: list[str]


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.methods import methods_figure

    return methods_figure(tables["methods"], settings.style, settings.methods)
