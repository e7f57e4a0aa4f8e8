"""The accuracy of the subnetworks after each amount of pre-training, beside the dense and the paper's ones."""

from typing import TYPE_CHECKING

from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from goodsubnet.plots.contract import Form, Tables

PLACE = 20
TITLE = "Accuracy of the subnetworks"
HEADING = "accuracy of the subnetworks, by pre-training"
FORM: "Form" = "curves"
TABLES = ("accuracy_table",)
KINDS = ("deep",)


class Settings(FigureSettings):
    title: str


def draw(tables: "Tables", settings: Settings) -> "Figure":
    from goodsubnet.plots.accuracy_table import accuracy_table_figure

    return accuracy_table_figure(tables["accuracy_table"], settings.style, settings.title)
