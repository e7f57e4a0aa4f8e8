"""The figure of the paper's Tables 1 and 2 for one's own networks (see `goodsubnet.results.accuracy_table`)."""

import math
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from goodsubnet.plots.axes import AccuracyScale, accuracy_axis, axis_of
from goodsubnet.plots.canvas import (
    NARROWEST_PANEL_INCHES,
    WIDEST_PANEL_INCHES,
    Look,
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

PANEL_INCHES = 1.75  # height
LABELS_INCHES = 0.75  # of the y axis, at the left
ENTRY_INCHES = 2.4  # of the legend, width

AT_CHECKPOINT: Look = {"color": "0.35", "linewidth": 0.8, "linestyle": (0, (4, 2))}
TRAINED: Look = {"color": "0.35", "linewidth": 0.8}
BEFORE: Look = {"linewidth": 0.8, "linestyle": (0, (1, 1.2))}
BELOW: Look = {"linestyle": "none", "marker": "v", "markersize": 3.5}
TICKET: Look = {
    "linestyle": "none",
    "marker": "*",
    "markersize": 12,
    "markeredgecolor": "white",
    "markeredgewidth": 0.7,
}
PAPER: Look = {"linestyle": "none", "markersize": 4.5, "markerfacecolor": "none", "markeredgewidth": 1}


class _PaperRow(Protocol):
    """A row of the table for which the paper has a number, as far as it is drawn."""

    iteration: int
    paper_dense: float


def accuracy_table_figure(table: pd.DataFrame, style: Style, title: str) -> Figure:
    """Return the test accuracy of the subnetworks against pre-training, beside the dense network's and the paper's.

    One row per network, one column per number of examples, one colour per pruning method; y in per cent, one scale for
    all panels. The line is the mean over seeds after fine-tuning, its band goes from the worst to the best seed, the
    dotted line is before fine-tuning. The scale is that of the fine-tuned subnetworks and the dense networks, with a
    third as much room below; where the dotted line is lower still, a triangle stands at the edge.

    table: of `goodsubnet.results.accuracy_table.accuracy_table`. style: the keys of `FigureStyle`. title: the words for
    the data set.
    Raises `UserError` for a style that cannot be drawn, or where the table holds several experiments.
    """
    look = look_of(style)
    networks, sizes = panels_of(table), np.unique(table["examples"])
    methods = list(dict.fromkeys(table["method"]))
    colours = dict(zip(methods, colours_of(range(len(methods)), look).values(), strict=True))
    scale = _scale(table, look.color_norm)
    with settings():
        width = min(look.width_inches, LABELS_INCHES + WIDEST_PANEL_INCHES * max(len(sizes), 1.5))
        panel_width = (width - LABELS_INCHES) / len(sizes)
        crowding = min(1, panel_width / NARROWEST_PANEL_INCHES)
        kinds = _kinds(table, colours, scale)
        lines = math.ceil(len(kinds) / max(1, int(width / ENTRY_INCHES)))
        figure = new_figure(look, width, 0.9 + PANEL_INCHES * len(networks) + 0.17 * lines)
        grid = figure.subplots(len(networks), len(sizes), squeeze=False, sharey=True)
        for (row, column), axis in np.ndenumerate(grid):
            rows = table[table["network"] == networks[row].network]
            checkpoints = np.unique(rows["iteration"])
            rows = rows[rows["examples"] == sizes[column]]
            _panel(axis, rows, colours, scale)
            axis_of(axis, "x", checkpoints, panel_width, "pre-training iterations")
            axis.xaxis.label.set_fontsize(8 * crowding)
            if row == 0:
                axis.set_title(f"{sizes[column]:,} examples", fontsize=8.5 * crowding)
            if row < len(networks) - 1:
                axis.set_xlabel("")
            if column == 0:
                accuracy_axis(axis, scale)
                axis.set_yticks(scale.ticks(7), [f"{100 * tick:g}" for tick in scale.ticks(7)])
                axis.set_ylabel(f"{networks[row].title}\ntest accuracy (%)")
        of = f"subnetworks by {methods[0]} selection" if len(methods) == 1 else "subnetworks"
        words = [f"{title}: {of}", scale.words().strip()]
        # One panel is narrower than the title in one line.
        figure.suptitle((" " if len(sizes) > 1 else "\n").join(words).strip(), fontsize=9)
        legend_below(figure, kinds)
        freeze(figure)
    return figure


def _scale(table: pd.DataFrame, kind: str) -> AccuracyScale:
    """Return the scale of all panels: low accuracies before fine-tuning must not flatten the others."""
    names = ["min", "max", "dense_at_checkpoint", "dense_mean", "paper_mean", "paper_dense"]
    shown = table[names].to_numpy(np.float64)
    scale = AccuracyScale(shown[~np.isnan(shown)], kind)
    low, high = scale.forward(np.array([scale.low, scale.high]))
    lowest = max(0.0, float(scale.inverse(low - (high - low) / 3)))
    before = table["mean_before_finetuning"].min()
    return AccuracyScale([min(scale.low, max(lowest, before)), scale.high], kind)


def _panel(axis: Axes, table: pd.DataFrame, colours: Mapping[str, np.ndarray], scale: AccuracyScale) -> None:
    """Draw one network and number of examples."""
    dense = table.drop_duplicates("iteration")
    axis.plot(dense["iteration"], dense["dense_at_checkpoint"], **AT_CHECKPOINT, gid="dense")
    for trained in dense["dense_mean"].iloc[:1]:
        axis.axhline(trained, **TRAINED, gid="fully trained")
    for method, colour in colours.items():
        rows = table[table["method"] == method]
        at, before = rows["iteration"], rows["mean_before_finetuning"]
        axis.fill_between(at, rows["min"], rows["max"], color=colour, alpha=0.25, linewidth=0)
        axis.plot(at, before, color=colour, **BEFORE, gid="before")
        below = at[before < scale.low]
        if not below.empty:
            edge, places = np.zeros(len(below)), axis.get_xaxis_transform()
            axis.plot(below, edge, transform=places, color=colour, **BELOW, clip_on=False, gid="below")
        axis.plot(at, rows["mean"], color=colour, linewidth=1.1, marker="o", markersize=2.5, gid="subnetwork")
        first = rows[rows["first_winning_ticket"]]
        axis.plot(first["iteration"], first["mean"], color=colour, **TICKET, zorder=4, gid="ticket")
    # The paper has one number where several methods are compared with it.
    paper = table.dropna(subset=["paper_mean"]).drop_duplicates(["iteration", "paper_mean"])
    for method, rows in cast(Iterable[tuple[str, pd.DataFrame]], paper.groupby("method", sort=False)):
        axis.plot(rows["iteration"], rows["paper_mean"], color=colours[method], marker="D", **PAPER, gid="paper")
    for last in cast(Iterable[_PaperRow], paper.nlargest(1, "iteration").itertuples()):
        axis.plot([last.iteration], [last.paper_dense], color="0.35", marker="s", **PAPER, gid="paper dense")


def _kinds(table: pd.DataFrame, colours: Mapping[str, np.ndarray], scale: AccuracyScale) -> list[Line2D | Patch]:
    """Return legend entries for what is drawn."""
    over = mean_over(table["seeds"])
    kinds: list[Line2D | Patch] = []
    if len(colours) > 1:
        kinds += [Patch(color=colour, label=method) for method, colour in colours.items()]
    colour = "0.15" if len(colours) > 1 else next(iter(colours.values()))
    mean = Line2D([], [], color=colour, linewidth=1.1, marker="o", markersize=2.5)
    mean.set_label(f"subnetwork, fine-tuned, {over}")
    kinds.append(mean)
    if table["seeds"].max() > 1:
        kinds.append(Patch(color=colour, alpha=0.25, linewidth=0, label="worst to best seed"))
    kinds.append(Line2D([], [], color=colour, **BEFORE, label="before fine-tuning"))
    if (table["mean_before_finetuning"] < scale.low).any():
        kinds.append(Line2D([], [], color=colour, **BELOW, label="before fine-tuning, lower than shown"))
    if table["first_winning_ticket"].any():
        kinds.append(Line2D([], [], color=colour, **TICKET, label="first winning ticket"))
    kinds.append(Line2D([], [], **AT_CHECKPOINT, label="dense network at the checkpoint"))
    kinds.append(Line2D([], [], **TRAINED, label="dense network, fully trained"))
    if table["paper_mean"].notna().any():
        kinds.append(Line2D([], [], color=colour, marker="D", **PAPER, label="the paper's subnetwork"))
        kinds.append(Line2D([], [], color="0.35", marker="s", **PAPER, label="the paper's dense network"))
    return kinds
