"""Figures 2 and 3: singular values of random matrices (tables of `goodsubnet.theory.random_matrices`)."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import NullFormatter

from goodsubnet.errors import UserError
from goodsubnet.plots.axes import axis_of, cell_edges, log_ticks
from goodsubnet.plots.canvas import (
    Look,
    Style,
    colours_of,
    freeze,
    grid_of,
    legend_below,
    look_of,
    new_figure,
    settings,
)
from goodsubnet.settings.figures import FigureStyle
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.random_matrices import CURVES, marchenko_pastur

CURVE_LOOKS = {"sqrt": (0, (5, 2)), "difference": (0, (1, 1.2))}
CURVE_NAMES = {"sqrt": r"$c\,\sqrt{N}$", "difference": r"$c\,(\sqrt{N}-\sqrt{m})$"}
TICKS = [(1, 2, 5), (1, 3), (1,)]
POINTS: Look = {"linestyle": "none", "marker": "o", "markersize": 3}
BARS: Look = {"elinewidth": 0.8, "capsize": 1.8, "capthick": 0.8, "zorder": 3}
UNDEFINED: Look = {"facecolor": "0.94", "edgecolor": "0.65", "hatch": "//////", "linewidth": 0}
LETTER_INCHES = 0.055  # of a number in a cell, 6 points
LINE_INCHES = 0.135  # of a legend, 6.5 points
HEIGHT_INCHES = 2.2  # of a panel
FEWEST_POINTS = 3  # of a width that is worth a curve
MOST_CURVES = 4
SIDE_BY_SIDE_INCHES = 6

# The singular values and their fits.
_Tables: TypeAlias = tuple[pd.DataFrame, pd.DataFrame]


def figure2(table: pd.DataFrame, fits: pd.DataFrame, style: Style) -> Figure:
    """Return Figure 2 of Wolfe et al. (arXiv 2108.00259): the smallest singular value against the width.

    One panel per number of inputs d, one colour per number of examples m; mean and standard deviation of the draws, and
    the two fitted curves. Each panel lists the fitted exponents with their intervals. `table` is a
    `singular_value_table`, `fits` the `singular_value_fits` of the same draws; `style` has the keys of `FigureStyle`.
    Raises `UserError` for another style, and where every matrix has more examples than neurons.
    """
    look = look_of(style)
    _require_defined(table)
    inputs = sorted(table["inputs"].unique().tolist())
    colours = colours_of(table["examples"], look)
    with settings():
        rows, columns = grid_of(len(inputs), look)
        # Below 4 inches, the least that a style may ask for, the title has no room.
        width = min(look.width_inches, max(4, 1 + 2.4 * columns))
        figure = new_figure(look, width, 0.9 + 2.6 * rows)
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for unused in axes[len(inputs) :]:
            unused.remove()
        axes = axes[: len(inputs)]
        for axis, features in zip(axes, inputs, strict=True):
            _singular_values(
                axis, *cast(_Tables, (each[each["inputs"] == features] for each in (table, fits))), colours
            )
            axis.set(xscale="log", yscale="log", xlabel="width N (neurons)", title=f"d = {features:,} inputs")
        _leave_room(axes[0], lines=len(colours) + 1)
        for number, axis in enumerate(axes):
            _log_ticks(axis.xaxis, axis.get_xlim(), (width - 1) / columns)
            _log_ticks(axis.yaxis, axis.get_ylim(), HEIGHT_INCHES)
            if number % columns == 0:
                axis.set_ylabel(r"smallest singular value $\sigma_{\min}$")
        sizes = [
            Line2D([], [], color=colour, **POINTS, label=f"m = {examples:,} examples")
            for examples, colour in colours.items()
        ]
        curves = [
            Line2D([], [], color="0.2", linestyle=CURVE_LOOKS[name], linewidth=1, label=CURVE_NAMES[name])
            for name in CURVES
        ]
        shown = "one draw" if table["draws"].max() == 1 else f"mean and standard deviation of {_draws(table)}"
        title = r"Smallest singular value of $\tanh(XW^\top)$" + (", " if columns > 1 else "\n") + shown
        figure.suptitle(title, fontsize=9.5)
        legend_below(figure, sizes + curves)
        freeze(figure)
    return figure


def figure3(table: pd.DataFrame, style: Style) -> Figure:
    """Return Figure 3 of Wolfe et al. (arXiv 2108.00259): the condition number of Gaussian matrices.

    A map of its median over examples m and neurons N; and curves against m for a few N, median and range of the draws,
    with the Marchenko-Pastur law. `table` is a `condition_number_table`; `style` and errors as in `figure2`.
    """
    look = look_of(style)
    _require_defined(table)
    medians = table.assign(median=_numbers(table["median"])).pivot(index="width", columns="examples", values="median")
    # No condition number is below 1; a map of a single one needs a scale, too.
    colours = ScalarMappable(LogNorm(1, np.nanmax([2, medians.max(axis=None)])), look.colormap)
    with settings():
        beside = look.width_inches >= SIDE_BY_SIDE_INCHES
        width = min(look.width_inches, 7)
        figure = new_figure(look, width, 3.7 if beside else 6.6)
        shape: Look = {"nrows": 1, "ncols": 2, "width_ratios": [1.7, 1]} if beside else {"nrows": 2, "ncols": 1}
        left, right = cast(Iterable[Axes], figure.subplots(**shape))
        _map(left, medians, colours, (0.45 * width if beside else width - 1.5, HEIGHT_INCHES))
        left.set_title(r"median of $\kappa$")
        bar = figure.colorbar(colours, ax=left, pad=0.02, aspect=28)
        bar.ax.minorticks_off()
        _log_ticks(bar.ax.yaxis, cast(tuple[float, float], (colours.norm.vmin, colours.norm.vmax)), HEIGHT_INCHES)
        _growth(right, table, look)
        right.set(xscale="log", yscale="log", xlabel="examples m", ylabel=r"condition number $\kappa$")
        _log_ticks(right.xaxis, right.get_xlim(), 0.27 * width if beside else width - 1)
        _log_ticks(right.yaxis, right.get_ylim(), HEIGHT_INCHES)
        title = r"Condition number $\kappa=\sigma_{\max}/\sigma_{\min}$ of $m\times N$ Gaussian matrices"
        figure.suptitle(title + (", " if beside else "\n") + f"{_draws(table)} each", fontsize=9.5)
        marks: list[Line2D | Patch] = [
            Line2D([], [], color="0.2", **POINTS, label="median, smallest to largest draw"),
            Line2D([], [], color="0.2", linewidth=1, label="Marchenko-Pastur law"),
        ]
        if (table["examples"] > table["width"]).any():
            marks.insert(0, Patch(**UNDEFINED, label="not applicable (m > N)"))
        legend_below(figure, marks)
        freeze(figure)
    return figure


def _singular_values(axis: Axes, table: pd.DataFrame, fits: pd.DataFrame, colours: Mapping[int, np.ndarray]) -> None:
    """Draw one panel: the points with their spread, the fitted curves, and the exponents as the panel's legend."""
    exponents = []
    for _, fit in fits.sort_values("examples").iterrows():
        examples = fit["examples"]
        mark: Look = {"color": colours[examples], **POINTS}
        points = table[(table["examples"] == examples) & (table["width"] >= examples)]
        for name, curve in CURVES.items():
            if not isinstance(fit[f"c_{name}"], NotApplicable):
                widths = np.geomspace(points["width"].min(), points["width"].max(), 100)
                values = fit[f"c_{name}"] * curve(examples, widths)
                axis.plot(widths, values, color=colours[examples], linestyle=CURVE_LOOKS[name], linewidth=1, gid=name)
        axis.errorbar(points["width"], points["mean"], _numbers(points["standard_deviation"]), **mark, **BARS)
        exponents.append(Line2D([], [], **mark, label=_exponent(fit)))
    axis.legend(
        handles=exponents,
        title="exponent of N [95% interval]",
        alignment="left",
        loc="upper left",
        fontsize=6.5,
        title_fontsize=6.5,
        handletextpad=0,
        borderaxespad=0.2,
        labelspacing=0.3,
    )


def _exponent(fit: pd.Series) -> str:
    """Return a fitted exponent with its interval, or why there is none."""
    if isinstance(fit["exponent"], NotApplicable):
        return str(fit["exponent"])
    interval = "" if isinstance(fit["low"], NotApplicable) else f" [{fit['low']:.3f}, {fit['high']:.3f}]"
    return f"{fit['exponent']:.3f}{interval}"


def _map(axis: Axes, medians: pd.DataFrame, colours: ScalarMappable, inches: tuple[float, float]) -> None:
    """Draw the map of medians (index: widths, columns: examples); hatched where m > N; values where they fit."""
    columns, rows = cell_edges(medians.columns), cell_edges(medians.index)
    cells = medians.to_numpy()
    axis.pcolormesh(
        columns,
        rows,
        cells,
        cmap=colours.cmap,
        norm=cast(Normalize, colours.norm),
        edgecolors="white",
        linewidth=0.3,
        antialiased=True,
    )
    room = inches[0] / len(medians.columns), inches[1] / len(medians.index)
    for (row, column), value in np.ndenumerate(cells):
        width, examples = cast(tuple[int, int], (medians.index[row], medians.columns[column]))
        if examples > width:
            corner, size = cast(
                tuple[tuple[float, float], tuple[float, float]],
                ((columns[column], rows[row]), (np.diff(columns)[column], np.diff(rows)[row])),
            )
            axis.add_patch(Rectangle(corner, *size, gid="undefined", **UNDEFINED))
        elif np.isfinite(value) and room[0] > len(_cell(value)) * LETTER_INCHES and room[1] > 2 * LETTER_INCHES:
            lightness = np.dot(colours.to_rgba(value)[:3], [0.2126, 0.7152, 0.0722])
            ink = "black" if lightness > 0.45 else "white"
            axis.text(examples, width, _cell(value), ha="center", va="center", fontsize=6, color=ink)
    axis_of(axis, "x", medians.columns, inches[0], "examples m")
    axis_of(axis, "y", medians.index, inches[1], "neurons N")


def _growth(axis: Axes, table: pd.DataFrame, look: FigureStyle) -> None:
    """Draw the condition number against the examples for a few widths, with the Marchenko-Pastur law."""
    table = table[table["examples"] <= table["width"]]
    counts = table["width"].value_counts().sort_index()
    widths = counts.index[counts >= min(FEWEST_POINTS, counts.max())].to_numpy()
    widths = widths[np.unique(np.linspace(0, len(widths) - 1, MOST_CURVES).round().astype(int))]
    for width, colour in colours_of(widths, look).items():
        points = table[table["width"] == width].sort_values("examples")
        middle, low, high = (points[name].to_numpy(np.float64) for name in ("median", "min", "max"))
        axis.errorbar(
            points["examples"],
            middle,
            [middle - low, high - middle],
            color=colour,
            label=f"{width:,}",
            **POINTS,
            **BARS,
        )
        first, last = points["examples"].min(), min(points["examples"].max(), width * (1 - 1e-6))
        if first < last:
            # Even also in the distance to N: there the law has its pole, and rises beyond the panel.
            near = width - np.geomspace(width - first, width - last, 100)
            examples = np.union1d(np.geomspace(first, last, 100), near)
            # No size beyond the width, so that the law says something everywhere.
            axis.plot(
                examples,
                cast(list[float], [marchenko_pastur(m, width) for m in examples]),
                color=colour,
                linewidth=1,
                gid="law",
            )
    axis.set_ylim(0.8, 1.6 * table["max"].astype(np.float64).max())
    axis.legend(
        title="neurons N",
        ncols=MOST_CURVES,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        handlelength=0.8,
        handletextpad=0.3,
        columnspacing=0.8,
        borderaxespad=0,
    )


def _log_ticks(axis: XAxis | YAxis, limits: tuple[float, float], inches: float) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2 and 5 of each power of ten, fewer where these have no room."""
    log_ticks(axis, limits, inches, TICKS, 4)
    axis.set_minor_formatter(NullFormatter())


def _leave_room(axis: Axes, lines: int) -> None:
    """Raise the top of a logarithmic y axis, so that so many lines of text lie above everything drawn."""
    bottom, top = np.log(axis.get_ylim())
    share = min(0.6, lines * LINE_INCHES / HEIGHT_INCHES)
    axis.set_ylim(cast(tuple[float, float], np.exp([bottom, bottom + (top - bottom) / (1 - share)])))


def _numbers(column: pd.Series) -> np.ndarray:
    """Return a column as numbers, NaN where it is not applicable."""
    return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)


def _cell(value: float) -> str:
    """Return a number in three digits, or in all those before the point."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def _draws(table: pd.DataFrame) -> str:
    """Return how many draws there are of each matrix."""
    low, high = table["draws"].min(), table["draws"].max()
    if high == 1:
        return "one draw"
    return f"{high} draws" if low == high else f"{low} to {high} draws"


def _require_defined(table: pd.DataFrame) -> None:
    if not (table["examples"] <= table["width"]).any():
        raise UserError(
            "every matrix has more examples than neurons, so that there is nothing to draw; add larger widths"
        )
