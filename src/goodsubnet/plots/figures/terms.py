"""The terms of the bounds along pre-training."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 60
TITLE = "Theory: the terms along training"
HEADING = "the terms of the bounds along training"
FORM: "Form" = "curves"
TABLES = ("terms",)
KINDS = ("two_layer",)


class Settings(FigureSettings):
    bounded_method: str


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.bounds import terms

    return terms(tables["terms"], settings.style, settings.bounded_method)
