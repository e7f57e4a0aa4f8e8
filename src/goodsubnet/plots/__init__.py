"""Figures from the tidy table of evaluations (see `goodsubnet.analysis`), as Matplotlib figures and as bytes.

No pyplot: its global state would keep every figure alive and choose a display. Nothing here writes to disk.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm, is_color_like
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from pydantic import ValidationError

from goodsubnet.analysis import require_columns, required_pretraining, summary
from goodsubnet.errors import UserError
from goodsubnet.plots.axes import AccuracyScale, accuracy_axis, axis_of, cell_edges
from goodsubnet.settings import FigureStyle, explain

QUANTITIES = {"train_accuracy": "accuracy on the training sub-dataset", "test_accuracy": "test accuracy"}
# Everything that would make the bytes of a file differ from one day or version to the next.
METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
METHOD_ORDER = ["greedy", "magnitude", "random"]
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
DENSE = {"linewidth": 0.6, "linestyle": (0, (4, 2))}
SIDES_INCHES = 1.6  # labels on the left, colour bar or legend on the right
NARROWEST_PANEL_INCHES = 1.6
WIDEST_PANEL_INCHES = 2.6


@dataclass(frozen=True)
class Panel:
    """One network of a figure: its name in the table, and its title."""

    network: str
    title: str


def figure1(
    evaluations: pd.DataFrame,
    style: Mapping,
    method: str = "greedy",
    accuracy: str = "train_accuracy",
) -> Figure:
    """Return Figure 1 of Wolfe et al. (arXiv 2108.00259): accuracy after pruning, and the requirement.

    One panel a network, by width; x, iterations of pre-training; y, examples in the training sub-dataset;
    colour, `accuracy` of the subnetwork, mean over seeds. The line is the column `iteration` of
    `analysis.required_pretraining`, with triangles at the edges for sizes that match the target at or before
    the first checkpoint, or never.

    `evaluations` is the tidy table of one experiment; `style` has the keys of `FigureStyle`; `method` is the one
    shown; `accuracy` is "train_accuracy" or "test_accuracy". Raises `UserError` where the table is
    incomplete, lacks the method or holds several experiments.
    """
    look = _look(style)
    require_columns(evaluations, ["method"])
    chosen = evaluations[evaluations["method"] == method]
    if chosen.empty:
        raise UserError(
            f"no subnetwork was selected by the method {method!r}; "
            f"the table of evaluations has {', '.join(_methods(evaluations)) or 'no rows'}"
        )
    means = summary(chosen, accuracy)
    needs = required_pretraining(chosen, accuracy=accuracy)
    panels = _panels(means)
    scale = AccuracyScale(means["mean"], look.color_norm)
    colours = ScalarMappable(FuncNorm((scale.forward, scale.inverse), vmin=scale.low, vmax=scale.high), look.colormap)
    with _settings():
        rows, columns = _grid(len(panels), look)
        width = min(look.width_inches, SIDES_INCHES + WIDEST_PANEL_INCHES * columns)
        figure = _figure(look, width, 1.05 + rows * 2.5)
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
        figure.suptitle(f"Subnetworks by {method} selection, {_mean_over(needs['seeds'])}", fontsize=9.5)
        _legend_below(figure, _kinds_of_marks(needs, look))
        _freeze(figure)
    return figure


def curves(evaluations: pd.DataFrame, style: Mapping, accuracy: str = "train_accuracy") -> Figure:
    """Return the accuracy of the subnetworks against pre-training iterations, with its spread over seeds.

    A column a network, by width; a row a method; a line a number of examples (mean over seeds), coloured in
    order along the colour map; the band goes from the worst to the best seed; thin dashed lines are the dense
    network (the column `dense_` + `accuracy`). Arguments and errors as in `figure1`.
    """
    look = _look(style)
    means, dense = summary(evaluations, accuracy), summary(evaluations, f"dense_{accuracy}")
    panels, methods = _panels(means), _methods(means)
    shown = pd.concat([means["min"], means["max"], dense["mean"]])
    scale = AccuracyScale(shown, look.color_norm)
    sizes = np.sort(means["examples"].unique())
    # The lightest fifth of a map would be lost on white paper.
    colours = matplotlib.colormaps[look.colormap](np.linspace(0, 0.82, len(sizes)))
    with _settings():
        width = min(look.width_inches, SIDES_INCHES + WIDEST_PANEL_INCHES * len(panels))
        figure = _figure(look, width, 1.1 + 1.75 * len(methods))
        grid = figure.subplots(len(methods), len(panels), squeeze=False, sharey=True)
        panel_width = (width - SIDES_INCHES) / len(panels)
        for (row, column), axis in np.ndenumerate(grid):
            means_here, dense_here = (
                table[(table["network"] == panels[column].network) & (table["method"] == methods[row])]
                for table in (means, dense)
            )
            _curves_of(axis, means_here, dense_here, dict(zip(sizes, colours, strict=True)))
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
        handles = [
            Line2D([], [], color=colour, linewidth=2, label=f"{size:,}")
            for size, colour in zip(sizes, colours, strict=True)
        ]
        figure.legend(handles=handles, title="training\nexamples", loc="outside right center", alignment="left")
        _legend_below(figure, _kinds_of_curves(means["seeds"]))
        _freeze(figure)
    return figure


def render(figure: Figure, file_format: str) -> bytes:
    """Return the figure as a file of "pdf", "png" or "svg": the same figure gives the same bytes on any day.

    The bytes are those of one version of Matplotlib and its fonts. Raises `UserError` for another format.
    """
    if file_format not in METADATA:
        raise UserError(f"figure format {file_format!r} is not supported; choose {', '.join(METADATA)}")
    buffer = BytesIO()
    with _settings():
        figure.savefig(buffer, format=file_format, metadata=METADATA[file_format])
    return buffer.getvalue()


def _look(style: Mapping) -> FigureStyle:
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


def _settings() -> AbstractContextManager:
    """Return Matplotlib's own defaults with `SETTINGS`, whatever the reader's matplotlibrc says."""
    return matplotlib.style.context(["default", SETTINGS])


def _figure(look: FigureStyle, width: float, height: float) -> Figure:
    """Return an empty figure of width x height inches that belongs to no pyplot."""
    figure = Figure(figsize=(width, height), dpi=look.dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _freeze(figure: Figure) -> None:
    """Lay the figure out for good: laid out anew at each drawing, it moves by fractions of a pixel."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _panels(means: pd.DataFrame) -> list[Panel]:
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


def _methods(table: pd.DataFrame) -> list[str]:
    """Return the methods of the table: greedy first, other names after the known ones."""
    rank = {method: place for place, method in enumerate(METHOD_ORDER)}
    return sorted(table["method"].unique(), key=lambda name: (rank.get(name, len(rank)), name))


def _grid(panels: int, look: FigureStyle) -> tuple[int, int]:
    """Return rows and columns of panels, as many side by side as the width allows."""
    most = int((look.width_inches - SIDES_INCHES) / NARROWEST_PANEL_INCHES)
    rows = math.ceil(panels / max(1, most))
    return rows, math.ceil(panels / rows)


def _heat_map(axis: Axes, grid: pd.DataFrame, colours: ScalarMappable) -> None:
    """Draw the accuracies of grid (index: examples, columns: iterations), each cell around its own values."""
    axis.pcolormesh(
        cell_edges(grid.columns),
        cell_edges(grid.index),
        grid.to_numpy(),
        cmap=colours.cmap,
        norm=colours.norm,
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


def _mark(kind: str, look: FigureStyle) -> dict:
    """Return the look of a size's mark: "met", or as in the column `censored`."""
    shared = {"color": look.red_line, "linestyle": "none", "gid": kind}
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


def _legend_below(figure: Figure, handles: list[Line2D | Patch]) -> None:
    """Put a legend below the panels, in as many columns as the figure is wide enough for."""
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _curves_of(axis: Axes, means: pd.DataFrame, dense: pd.DataFrame, colours: Mapping) -> None:
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
    mean.set_label(f"subnetwork, {_mean_over(seeds)}")
    band = Patch(color="0.2", alpha=0.25, linewidth=0, label="worst to best seed")
    dense = Line2D([], [], color="0.2", **DENSE, label=f"dense network, {_mean_over(seeds)}")
    return [mean, band, dense] if seeds.max() > 1 else [mean, dense]


def _mean_over(seeds: pd.Series) -> str:
    """Return how many seeds the means are over."""
    low, high = seeds.min(), seeds.max()
    if high == 1:
        return "one seed"
    return f"mean over {high} seeds" if low == high else f"mean over {low} to {high} seeds"


def _quantity(accuracy: str) -> str:
    """Return the words for a column of accuracies."""
    return QUANTITIES.get(accuracy, accuracy.replace("_", " "))
