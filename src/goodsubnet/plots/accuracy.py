"""Figures of the accuracies in the tidy table of evaluations (see `goodsubnet.results.analysis`)."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke

from goodsubnet.errors import UserError
from goodsubnet.plots.axes import AccuracyScale, accuracy_axis, axis_of, cell_edges
from goodsubnet.plots.canvas import (
    NARROWEST_PANEL_INCHES,
    SIDES_INCHES,
    WIDEST_PANEL_INCHES,
    Look,
    Style,
    colours_of,
    freeze,
    grid_of,
    legend_below,
    look_of,
    mean_over,
    new_figure,
    panels_of,
    settings,
)
from goodsubnet.results.analysis import require_columns, required_pretraining, summary
from goodsubnet.settings.figures import FigureStyle

QUANTITIES = {"train_accuracy": "accuracy on the training sub-dataset", "test_accuracy": "test accuracy"}
METHOD_ORDER = ["greedy", "magnitude", "random"]
DENSE: Look = {"linewidth": 0.6, "linestyle": (0, (4, 2))}


def figure1(
    evaluations: pd.DataFrame,
    style: Style,
    method: str = "greedy",
    accuracy: str = "train_accuracy",
) -> Figure:
    """Return Figure 1 of Wolfe et al. (arXiv 2108.00259): accuracy after pruning, and the requirement.

    One panel per network, by width; x, iterations of pre-training; y, examples in the training sub-dataset;
    colour, `accuracy` of the subnetwork, mean over seeds. The line is the column `iteration` of
    `analysis.required_pretraining`, with triangles at the edges for sizes that match the target at or before
    the first checkpoint, or never.

    `evaluations` is the tidy table of one experiment; `style` has the keys of `FigureStyle`; `method` is the one
    shown; `accuracy` is "train_accuracy" or "test_accuracy". Raises `UserError` where the table is
    incomplete, lacks the method or holds several experiments.
    """
    look = look_of(style)
    require_columns(evaluations, ["method"])
    chosen = evaluations[evaluations["method"] == method]
    if chosen.empty:
        raise UserError(
            f"no subnetwork was selected by the method {method!r}; "
            f"the table of evaluations has {', '.join(_methods(evaluations)) or 'no rows'}"
        )
    means = summary(chosen, accuracy)
    needs = required_pretraining(chosen, accuracy=accuracy)
    panels = panels_of(means)
    scale = AccuracyScale(means["mean"], look.color_norm)
    colours = ScalarMappable(FuncNorm((scale.forward, scale.inverse), vmin=scale.low, vmax=scale.high), look.colormap)
    with settings():
        rows, columns = grid_of(len(panels), look)
        width = min(look.width_inches, SIDES_INCHES + WIDEST_PANEL_INCHES * columns)
        figure = new_figure(look, width, 1.05 + rows * 2.5)
        axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
        for unused in axes[len(panels) :]:
            unused.remove()
        del axes[len(panels) :]
        same_sizes = needs.groupby("network")["examples"].apply(tuple).nunique() == 1
        for number, (axis, panel) in enumerate(zip(axes, panels, strict=True)):
            need = needs[needs["network"] == panel.network]
            rows_of_panel = means[means["network"] == panel.network]
            grid = rows_of_panel.pivot(index="examples", columns="iteration", values="mean")
            _heat_map(axis, grid, colours)
            _required_line(axis, need, look)
            axis_of(axis, "x", grid.columns, (width - SIDES_INCHES) / columns, "pre-training iterations")
            axis_of(axis, "y", grid.index, 2.0, "training examples")
            if number % columns and same_sizes:
                axis.tick_params(axis="y", labelleft=False)
                axis.set_ylabel("")
            axis.set_title(panel.title, pad=15)
            target = f"target accuracy {need['target'].iloc[0]:.4f}"
            axis.annotate(
                target,
                (0.5, 1),
                (0, 4),
                "axes fraction",
                "offset points",
                ha="center",
                fontsize=7,
                color="0.3",
            )
        bar = figure.colorbar(colours, ax=axes, pad=0.015, aspect=28 * rows)
        bar.set_label(f"{_quantity(accuracy)}\n{scale.words().strip()}".strip(), fontsize=7.5)
        bar.set_ticks(scale.ticks(8), labels=[f"{tick:g}" for tick in scale.ticks(8)])
        bar.ax.minorticks_off()
        figure.suptitle(f"Subnetworks by {method} selection, {mean_over(needs['seeds'])}", fontsize=9.5)
        legend_below(figure, _kinds_of_marks(needs, look))
        freeze(figure)
    return figure


def curves(evaluations: pd.DataFrame, style: Style, accuracy: str = "train_accuracy") -> Figure:
    """Return the accuracy of the subnetworks against pre-training iterations, with its spread over seeds.

    One column per network, by width; one row per method; one line per number of examples (mean over seeds), coloured in
    order along the colour map; the band goes from the worst to the best seed; thin dashed lines are the dense
    network (the column `dense_` + `accuracy`). Arguments and errors as in `figure1`.
    """
    look = look_of(style)
    means, dense = summary(evaluations, accuracy), summary(evaluations, f"dense_{accuracy}")
    panels, methods = panels_of(means), _methods(means)
    shown = pd.concat([means["min"], means["max"], dense["mean"]])
    scale = AccuracyScale(shown, look.color_norm)
    colours = colours_of(means["examples"], look)
    with settings():
        width = min(look.width_inches, SIDES_INCHES + WIDEST_PANEL_INCHES * len(panels))
        figure = new_figure(look, width, 1.1 + 1.75 * len(methods))
        grid = figure.subplots(len(methods), len(panels), squeeze=False, sharey=True)
        panel_width = (width - SIDES_INCHES) / len(panels)
        for (row, column), axis in np.ndenumerate(grid):
            means_here, dense_here = (
                table[(table["network"] == panels[column].network) & (table["method"] == methods[row])]
                for table in (means, dense)
            )
            _curves_of(axis, means_here, dense_here, colours)
            checkpoints = means.loc[means["network"] == panels[column].network, "iteration"]
            axis_of(axis, "x", np.unique(checkpoints), panel_width, "pre-training iterations")
            crowding = min(1, panel_width / NARROWEST_PANEL_INCHES)
            axis.xaxis.label.set_fontsize(8 * crowding)
            if row == 0:
                axis.set_title(panels[column].title, fontsize=8.5 * crowding)
            if row < len(methods) - 1:
                axis.tick_params(axis="x", which="both", labelbottom=False)
                axis.set_xlabel("")
            if column == 0:
                accuracy_axis(axis, scale)
                axis.set_ylabel(f"{methods[row]} selection")
        quantity = _quantity(accuracy)
        title = f"{quantity[0].upper()}{quantity[1:]}{scale.words()}"
        # One panel is narrower than the title in one line.
        figure.suptitle(title if len(panels) > 1 else title.replace(" (", "\n("), fontsize=9)
        handles = [Line2D([], [], color=colour, linewidth=2, label=f"{size:,}") for size, colour in colours.items()]
        figure.legend(handles=handles, title="training\nexamples", loc="outside right center", alignment="left")
        legend_below(figure, _kinds_of_curves(means["seeds"]))
        freeze(figure)
    return figure


def _methods(table: pd.DataFrame) -> list[str]:
    """Return the methods of the table: greedy first, other names after the known ones."""
    rank = {method: place for place, method in enumerate(METHOD_ORDER)}
    return sorted(table["method"].unique(), key=lambda name: (rank.get(name, len(rank)), name))


def _heat_map(axis: Axes, grid: pd.DataFrame, colours: ScalarMappable) -> None:
    """Draw the accuracies of grid (index: examples, columns: iterations), each cell around its own values."""
    axis.pcolormesh(
        cell_edges(grid.columns),
        cell_edges(grid.index),
        grid.to_numpy(),
        cmap=colours.cmap,
        norm=cast(Normalize, colours.norm),
        edgecolors="white",
        linewidth=0.3,
        antialiased=True,
    )


def _required_line(axis: Axes, need: pd.DataFrame, look: FigureStyle) -> None:
    """Draw the required iterations: vertices at `need["iteration"]`, gaps where never reached."""
    casing = [Stroke(linewidth=3.2, foreground="white"), Normal()]
    axis.plot(
        need["iteration"],
        need["examples"],
        color=look.red_line,
        linewidth=1.6,
        path_effects=casing,
        zorder=3,
        clip_on=False,
        gid="required",
    )
    axis.plot(need["iteration"], need["examples"], **_mark("met", look), zorder=3, clip_on=False)
    for censored, edge in (("at or before first", 0), ("never", 1)):
        sizes = need.loc[need["censored"] == censored, "examples"]
        if not sizes.empty:
            places = axis.get_yaxis_transform()
            edges = np.full(len(sizes), edge)
            axis.plot(edges, sizes, transform=places, zorder=4, clip_on=False, **_mark(censored, look))


def _mark(kind: str, look: FigureStyle) -> Look:
    """Return the look of a size's mark: "met", or as in the column `censored`."""
    shared: Look = {"color": look.red_line, "linestyle": "none", "gid": kind}
    if kind == "met":
        return {
            **shared,
            "marker": "o",
            "markersize": 4.2,
            "markeredgecolor": "white",
            "markeredgewidth": 0.7,
        }
    marker = "<" if kind == "at or before first" else ">"
    return {**shared, "marker": marker, "markersize": 5.5, "markerfacecolor": "white", "markeredgewidth": 1.1}


def _kinds_of_marks(needs: pd.DataFrame, look: FigureStyle) -> list[Line2D]:
    """Return legend entries for the line of requirements and for the marks that occur."""
    full = needs.groupby("network")["examples"].max().unique()
    last = needs["total_iterations"].unique()
    best = f"the best at {full[0]:,} examples" if len(full) == 1 else "the best at the largest size"
    end = f"iteration {last[0]:,}" if len(last) == 1 else "the last checkpoint"
    line = Line2D([], [], linewidth=1.6, label=f"pre-training needed to match {best}")
    line.set(**_mark("met", look) | {"linestyle": "-"})
    labels = {
        "at or before first": "matched at or before the first checkpoint",
        "never": f"not matched by {end}",
    }
    occur = [kind for kind in labels if (needs["censored"] == kind).any()]
    return [line, *(Line2D([], [], **_mark(kind, look), label=labels[kind]) for kind in occur)]


def _curves_of(axis: Axes, means: pd.DataFrame, dense: pd.DataFrame, colours: Mapping[int, np.ndarray]) -> None:
    """Draw one panel: for each size its mean, its band from worst to best seed, and the dense mean."""
    for size, colour in colours.items():
        rows = means[means["examples"] == size]
        whole = dense[dense["examples"] == size]
        axis.plot(whole["iteration"], whole["mean"], color=colour, **DENSE, gid="dense")
        axis.fill_between(rows["iteration"], rows["min"], rows["max"], color=colour, alpha=0.25, linewidth=0)
        axis.plot(
            rows["iteration"],
            rows["mean"],
            color=colour,
            linewidth=1.1,
            marker="o",
            markersize=2,
            gid="subnetwork",
        )


def _kinds_of_curves(seeds: pd.Series) -> list[Line2D | Patch]:
    """Return legend entries for what the curves and bands are."""
    mean = Line2D([], [], color="0.2", linewidth=1.1, marker="o", markersize=2)
    mean.set_label(f"subnetwork, {mean_over(seeds)}")
    band = Patch(color="0.2", alpha=0.25, linewidth=0, label="worst to best seed")
    dense = Line2D([], [], color="0.2", **DENSE, label=f"dense network, {mean_over(seeds)}")
    return [mean, band, dense] if seeds.max() > 1 else [mean, dense]


def _quantity(accuracy: str) -> str:
    """Return the words for a column of accuracies."""
    return QUANTITIES.get(accuracy, accuracy.replace("_", " "))
