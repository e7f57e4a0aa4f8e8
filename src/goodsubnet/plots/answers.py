"""The figure of the answers: how much pre-training is enough, and what stopping costs.

The table is that of `goodsubnet.results.answers`.
"""

from collections.abc import Mapping
from typing import TypeAlias, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from goodsubnet.errors import UserError
from goodsubnet.plots.canvas import (
    Look,
    Panel,
    Style,
    colours_of,
    freeze,
    legend_below,
    look_of,
    mean_over,
    new_figure,
    panels_of,
    settings,
)
from goodsubnet.results.answers import STILL_RISING

PANEL_INCHES = 2.0  # height
COLUMN_INCHES = 0.9  # width that the marks of one size take
MARKERS = "osD^v<>P"
# How far the marks of all networks spread around their size, as a share of the distance between two sizes.
SPREAD = 0.5

# The lower and the upper ends of the bars.
_Ends: TypeAlias = tuple[pd.Series, pd.Series]


def answers_figure(answers: pd.DataFrame, method: str, margin: float, style: Style) -> Figure:
    """Return, against the number of examples, the share of the pre-training that is enough, and the accuracy lost.

    A mark is a network, its bar the 95% interval over seeds; hollow where enough is not before the last checkpoint. The
    sizes stand side by side, not to scale. `answers` is the table of one experiment, `method` the one shown, `margin`
    the one with which the answers were found; `style` has the keys of `FigureStyle`. Raises `UserError` where the table
    does not hold the method or holds several experiments.
    """
    look = look_of(style)
    shown = answers[answers["method"] == method]
    if shown.empty:
        raise UserError(
            f"the table of answers has no method {method!r}; it has {', '.join(answers['method'].unique())}"
        )
    panels = panels_of(shown)
    sizes = np.sort(shown["examples"].unique())
    colours = colours_of(range(len(panels)), look)
    with settings():
        width = min(look.width_inches, max(4.0, 1.2 + COLUMN_INCHES * len(sizes)))
        figure = new_figure(look, width, 1.1 + 2 * PANEL_INCHES)
        above, below = figure.subplots(2, 1, sharex=True)
        for number, panel in enumerate(panels):
            rows = shown[shown["network"] == panel.network].sort_values("examples")
            shift = SPREAD * ((number + 0.5) / len(panels) - 0.5)
            places = np.searchsorted(sizes, rows["examples"]) + shift
            look_of_marks: Look = {"color": colours[number], "marker": MARKERS[number % len(MARKERS)]}
            total = rows["total_iterations"].where(rows["total_iterations"] > 0, 1)
            ends = cast(_Ends, [100 * rows[name] / total for name in ("low", "high")])
            _marks(above, places, 100 * rows["enough_at"] / total, *ends, rows["note"] == STILL_RISING, look_of_marks)
            ends = cast(_Ends, [100 * rows[name] for name in ("lost_low", "lost_high")])
            _marks(below, places, 100 * rows["accuracy_lost"], *ends, rows["note"] == STILL_RISING, look_of_marks)
        above.set(ylim=(-4, 104), yticks=range(0, 101, 25), ylabel="enough pre-training\n(% of the iterations run)")
        above.grid(axis="y", color="0.92", linewidth=0.6, zorder=0)
        below.axhline(100 * margin, color=look.red_line, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        below.set_ylabel("accuracy lost against the\nbest checkpoint (points)")
        below.set_ylim(bottom=min(0, below.get_ylim()[0]))
        below.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
        below.set_xlim(-0.5, len(sizes) - 0.5)
        below.set_xlabel("training examples")
        title = f"Enough pre-training for {method} selection, {mean_over(shown['seeds'])}"
        figure.suptitle(title if width > 5 else title.replace(", ", "\n"), fontsize=9.5)
        legend_below(figure, _kinds(panels, colours, shown, margin, look.red_line))
        freeze(figure)
    return figure


def _marks(
    axis: Axes,
    places: np.ndarray,
    values: pd.Series,
    low: pd.Series,
    high: pd.Series,
    hollow: pd.Series,
    marks: Look,
) -> None:
    axis.vlines(places, low.fillna(values), high.fillna(values), color=marks["color"], linewidth=1.1, zorder=2)
    shared: Look = {**marks, "linestyle": "none", "markersize": 5, "zorder": 3, "clip_on": False}
    for here, face in ((~hollow, marks["color"]), (hollow, "white")):
        if here.any():
            axis.plot(places[here], values[here], **shared, markerfacecolor=face)


def _kinds(
    panels: list[Panel], colours: Mapping[int, np.ndarray], shown: pd.DataFrame, margin: float, line: str
) -> list[Line2D]:
    """Return the entries of the legend."""
    entries = [
        Line2D([], [], color=colours[n], marker=MARKERS[n % len(MARKERS)], linestyle="none", label=panel.title)
        for n, panel in enumerate(panels)
    ]
    if (shown["note"] == STILL_RISING).any():
        hollow: Look = {"color": "0.3", "marker": "o", "markerfacecolor": "white", "linestyle": "none"}
        entries.append(Line2D([], [], **hollow, label="not before the last checkpoint"))
    if shown["seeds"].max() > 1:
        entries.append(Line2D([], [], color="0.3", linewidth=1.1, label="95% interval over seeds"))
    entries.append(Line2D([], [], color=line, linewidth=1, linestyle=(0, (4, 2)), label=f"allowed (margin {margin:g})"))
    return entries
