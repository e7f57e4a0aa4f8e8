"""All pruning methods of a two-layer network side by side: loss against size, and at equal size against cost."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from goodsubnet.errors import UserError
from goodsubnet.plots.axes import log_ticks
from goodsubnet.plots.canvas import (
    Look,
    Style,
    freeze,
    legend_below,
    look_of,
    mean_over,
    new_figure,
    panels_of,
    settings,
)
from goodsubnet.results.comparison import NAMES, at_equal_size, loss_by_size

COLUMNS = [*NAMES, "point", "size", "loss", "passes"]
ROW_INCHES, FRAME_INCHES = 2.1, 1.25
# Methods have no order, so their colours are not a colour map's: those of Okabe and Ito, which the colour-blind can
# tell apart, without the yellow; each has a marker of its own.
COLOURS = ("black", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "0.55")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
REMOVES = (0, (4, 1.5))
BAND: Look = {"alpha": 0.15, "linewidth": 0}
COMMON: Look = {"color": "0.6", "linewidth": 0.8, "zorder": 0}
TICKS = (range(1, 10), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))


def methods_figure(table: pd.DataFrame, style: Style, methods: Sequence[str]) -> Figure:
    """Return the methods side by side: left the loss against the size, right at equal size against the cost in passes.

    One row per network (the narrowest and the widest) and checkpoint (the first and the last), for the largest number
    of examples. Left: one line per method, mean over seeds with the range as a band, dashed where the method removes
    neurons; the vertical line is the size of comparison (`comparison.common_size`). Right: one marker per method, at
    the mean over seeds, with the range. All axes are logarithmic; a loss of 0 is drawn at the lowest other loss.

    table: as `comparison.methods_table` returns it, of one experiment. style: the keys of `FigureStyle`. methods: in
    the order of the legend. Raises `UserError` where a column or a method is missing, a loss is not a number of at
    least 0, or the table holds several experiments.
    """
    look = look_of(style)
    table = _checked(table, methods)
    shown = table[table["examples"] == table["examples"].max()]
    panels = panels_of(shown)
    networks = [panels[0], panels[-1]] if len(panels) > 1 else panels
    iterations = sorted({shown["iteration"].min(), shown["iteration"].max()})
    rows = [(panel, iteration) for panel in networks for iteration in iterations]
    looks: dict[str, Look] = {
        method: {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        for place, method in enumerate(methods)
    }
    equal = at_equal_size(shown)
    removing = {method for method in methods if _removes(shown[shown["method"] == method])}
    with settings():
        figure = new_figure(look, look.width_inches, FRAME_INCHES + ROW_INCHES * len(rows))
        grid = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(1.25, 1))
        for (left, right), (panel, iteration) in zip(grid, rows, strict=True):
            cell = {"network": panel.network, "iteration": iteration}
            at = equal[(equal[list(cell)] == pd.Series(cell)).all(axis=1)]
            here = shown[(shown[list(cell)] == pd.Series(cell)).all(axis=1)]
            size = int(at["common_size"].iloc[0])
            _losses_by_size(left, here, looks, removing)
            left.axvline(size, **COMMON, gid="common size")
            left.set_title(f"{panel.title}, iteration {iteration:,}")
            left.set_ylabel("loss, mean per example")
            _losses_by_cost(right, at, looks)
            fewer = ", or where a method ends" if (at["size"] < size).any() else ""
            right.set_title(f"at {size:,} neurons{fewer}")
            for axis, share in ((left, 1.25), (right, 1)):
                inches = (look.width_inches - 1.4) * share / 2.25
                log_ticks(axis.xaxis, axis.get_xlim(), inches, TICKS, 2)
                log_ticks(axis.yaxis, axis.get_ylim(), ROW_INCHES - 0.6, TICKS, 2)
                for scale in (axis.xaxis, axis.yaxis):
                    scale.set_minor_formatter(NullFormatter())
        grid[-1, 0].set_xlabel("neurons in the subnetwork")
        grid[-1, 1].set_xlabel("cost, in passes over all neurons and examples")
        seeds = pd.Series([shown["seed"].nunique()])
        examples = shown["examples"].iloc[0]
        left_out = "" if len(networks) == len(panels) else f" ({len(networks)} of {len(panels)} networks)"
        title = f"Pruning methods at equal size: {examples:,} training examples, {mean_over(seeds)}{left_out}"
        figure.suptitle(title, fontsize=9.5, wrap=True)
        legend_below(figure, _kinds(looks, removing, seeds))
        freeze(figure)
    return figure


def _checked(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the methods, a loss of 0 as the lowest other one, or raise."""
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise UserError(f"the table of methods has no column {', '.join(map(repr, missing))}")
    absent = [method for method in methods if method not in set(table["method"])]
    if absent:
        raise UserError(f"the table of methods has no method {', '.join(map(repr, absent))}")
    wrong = ~(np.isfinite(table["loss"]) & (table["loss"] >= 0))
    if wrong.any():
        first = table[wrong].iloc[0]
        raise UserError(
            f"network {first['network']!r}, method {first['method']!r}: the loss is {first['loss']} in the table of "
            "methods; it must be a finite number of at least 0: look at the training of this network"
        )
    lowest = table["loss"][table["loss"] > 0].min()
    return table[table["method"].isin(methods)].assign(loss=table["loss"].clip(lower=lowest))


def _removes(rows: pd.DataFrame) -> bool:
    """Return whether the traces of a method begin with more neurons than they end with."""
    ends = rows.sort_values("point").groupby(NAMES, dropna=False)["size"].agg(["first", "last"])
    return bool((ends["first"] > ends["last"]).any())


def _losses_by_size(axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], removing: set[str]) -> None:
    axis.set(xscale="log", yscale="log")
    for method, look in looks.items():
        means = loss_by_size(rows[rows["method"] == method])
        marks = np.unique(np.geomspace(1, len(means), 7).round().astype(int)) - 1
        line: Look = {"linestyle": REMOVES if method in removing else "-", "linewidth": 1.1, "markersize": 3.5}
        axis.plot(means["size"], means["mean"], **look, **line, markevery=marks.tolist(), gid=method)
        axis.fill_between(means["size"], means["min"], means["max"], color=look["color"], **BAND)


def _losses_by_cost(axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    axis.set(xscale="log", yscale="log")
    for place, (method, look) in enumerate(looks.items()):
        part = rows[rows["method"] == method]
        x, y = part["passes"], part["loss"]
        # The mean of equal numbers may lie beside them by a rounding.
        spread = [
            np.clip([[values.mean() - values.min()], [values.max() - values.mean()]], 0, None) for values in (x, y)
        ]
        # Ever smaller, so that a mark at the same place is not hidden by a later one.
        bars: Look = {"elinewidth": 0.8, "markersize": max(4.0, 7.5 - 0.45 * place), "linestyle": "none"}
        drawn = axis.errorbar(x.mean(), y.mean(), yerr=spread[1], xerr=spread[0], **look, **bars)
        drawn.lines[0].set_gid(method)
    axis.margins(0.12)


def _kinds(looks: Mapping[str, Look], removing: set[str], seeds: pd.Series) -> list[Line2D | Patch]:
    """Return legend entries for the methods and for what lines and bands are."""
    handles: list[Line2D | Patch] = [
        Line2D(
            [], [], **look, linewidth=1.1, markersize=4, label=method, linestyle=REMOVES if method in removing else "-"
        )
        for method, look in looks.items()
    ]
    if removing:
        handles.append(Line2D([], [], color="0.3", linestyle=REMOVES, linewidth=1.1, label="removes neurons"))
    handles.append(Line2D([], [], **COMMON, label="size of comparison"))
    band = Patch(facecolor="0.3", **BAND, label="lowest to highest seed")
    return [*handles, band] if seeds.max() > 1 else handles
