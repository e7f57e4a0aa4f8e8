"""What a figure is: a function of tables, with its settings and its caption."""

import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar, cast

from goodsubnet.runtime import plugins
from goodsubnet.settings.figures import FigureSettings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

F = TypeVar("F", bound=FigureSettings)
FIGURES = Path(__file__).parent / "figures"
Form: TypeAlias = Literal["bars", "curves", "map", "marks"]
"""What kind of picture a figure is."""
Tables: TypeAlias = "Mapping[str, pd.DataFrame]"


class FigureModule(Protocol[F]):
    """A module of `plots.figures`. Beside it lies its caption, `<figure>.rst`.

    PLACE: its place among the figures of an experiment. TITLE: of its page in the report, HEADING: on the page of the
    verdict, FORM: what kind of picture it is. TABLES: the tables that it is drawn from, as the workflow's stages call
    them; where an experiment has all of them, it has the figure. KINDS: the kinds of networks that it is for.
    """

    PLACE: int
    TITLE: str
    HEADING: str
    FORM: Form
    TABLES: tuple[str, ...]
    KINDS: tuple[str, ...]

    @property
    def Settings(self) -> type[F]:
        """What it is given; the keys are among those of `settings.figures.Offered`."""

    def draw(self, tables: Tables, settings: F) -> "Figure":
        """The figure. Raises UserError where a table lacks what it needs."""


def figure_names() -> list[str]:
    """The figures there are, in their order on a page."""
    names = [module.name for module in pkgutil.iter_modules([str(FIGURES)])]
    return sorted(names, key=lambda name: (plugins.read_module(f"plots.figures.{name}").PLACE, name))


def figure_module(name: str) -> FigureModule[FigureSettings]:
    """The module of a figure."""
    return cast(FigureModule[FigureSettings], plugins.load_module(f"plots.figures.{name}"))


def caption(name: str) -> Path:
    """The file of a figure's caption."""
    return FIGURES / f"{name}.rst"
