"""What all figures share: how they look, their size and layout, and their bytes.

No pyplot: its global state would keep every figure alive and choose a display. Nothing here writes to disk.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pydantic import ValidationError

from goodsubnet.errors import UserError
from goodsubnet.settings.faults import explain
from goodsubnet.settings.figures import FigureStyle

Style: TypeAlias = Mapping[str, object] | FigureStyle
"""How a figure looks: a style, or keys of one."""
# Any, because Matplotlib gives the keywords of its artists no type that they could all share.
Look: TypeAlias = dict[str, Any]
"""How an artist looks: keywords of one of Matplotlib's functions."""
# Everything that would make the bytes of a file differ from one day or version to the next.
METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
SETTINGS = {
    "axes.linewidth": 0.6,
    "axes.titlesize": 8.5,
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
    "font.size": 8,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.dpi": "figure",
    "svg.hashsalt": "goodsubnet",
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
}
SIDES_INCHES = 1.6  # labels on the left, colour bar or legend on the right
NARROWEST_PANEL_INCHES = 1.6
WIDEST_PANEL_INCHES = 2.6


@dataclass(frozen=True)
class Panel:
    """One network of a figure: its name in the table, and its title."""

    network: str
    title: str


def render(figure: Figure, file_format: str) -> bytes:
    """Return the figure as a file of "pdf", "png" or "svg": the same figure gives the same bytes on any day.

    The bytes are those of one version of Matplotlib and its fonts. Raises `UserError` for another format.
    """
    if file_format not in METADATA:
        raise UserError(f"figure format {file_format!r} is not supported; choose {', '.join(METADATA)}")
    buffer = BytesIO()
    with settings():
        figure.savefig(buffer, format=file_format, metadata=METADATA[file_format])
    return buffer.getvalue()


def look_of(style: Style) -> FigureStyle:
    """Return the style that a mapping describes.

    Raises `UserError` for a key that does not exist or a value that cannot be drawn.
    """
    try:
        look = FigureStyle.model_validate(style)
    except ValidationError as error:
        raise UserError("style: " + "; ".join(explain(error))) from None
    check_colours(look)
    return look


def check_colours(look: FigureStyle) -> None:
    """Raise `UserError` for a colour or a colour map that Matplotlib does not know."""
    if look.colormap not in matplotlib.colormaps:
        raise UserError(f"style: colormap is {look.colormap!r}; it must be the name of a Matplotlib colour map")
    if not is_color_like(look.red_line):
        raise UserError(f"style: red_line is {look.red_line!r}; it must be a Matplotlib colour, such as #e3001b or red")


def colours_of(values: Iterable[int], look: FigureStyle) -> dict[int, np.ndarray]:
    """Return a colour for each distinct value, in order along the colour map."""
    distinct = np.unique(list(values))
    # The lightest fifth of a map would be lost on white paper.
    return dict(zip(distinct, matplotlib.colormaps[look.colormap](np.linspace(0, 0.82, len(distinct))), strict=True))


def settings() -> AbstractContextManager[None]:
    """Return Matplotlib's own defaults with `SETTINGS`, whatever the reader's matplotlibrc says."""
    return matplotlib.style.context(["default", SETTINGS])


def new_figure(look: FigureStyle, width: float, height: float) -> Figure:
    """Return an empty figure of width x height inches that belongs to no pyplot."""
    figure = Figure(figsize=(width, height), dpi=look.dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def freeze(figure: Figure) -> None:
    """Lay the figure out once and for all: laid out again at each drawing, it would move by fractions of a pixel."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def panels_of(means: pd.DataFrame) -> list[Panel]:
    """Return the networks by width, then by name; without a width, last."""
    experiments = means["experiment"].unique()
    if len(experiments) > 1:
        raise UserError(f"a figure shows one experiment; the table holds {', '.join(map(str, experiments))}")
    networks = means[["network", "width"]].drop_duplicates().sort_values(["width", "network"])
    repeated = networks["width"].duplicated(keep=False)
    panels = []
    for network, width, alike in zip(networks["network"], networks["width"], repeated, strict=True):
        title = network if pd.isna(width) else f"width N = {int(width):,}"
        panels.append(Panel(network, f"{network}, {title}" if alike and title != network else title))
    return panels


def grid_of(panels: int, look: FigureStyle) -> tuple[int, int]:
    """Return rows and columns of panels, as many side by side as the width allows."""
    most = int((look.width_inches - SIDES_INCHES) / NARROWEST_PANEL_INCHES)
    rows = math.ceil(panels / max(1, most))
    return rows, math.ceil(panels / rows)


def legend_below(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """Put a legend below the panels, in as many columns as the figure is wide enough for."""
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def mean_over(seeds: pd.Series) -> str:
    """Return how many seeds the means are over."""
    low, high = seeds.min(), seeds.max()
    if high == 1:
        return "one seed"
    return f"mean over {high} seeds" if low == high else f"mean over {low} to {high} seeds"
