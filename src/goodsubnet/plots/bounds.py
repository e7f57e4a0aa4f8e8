"""Figures of the theory: its bounds beside the losses they bound, and the terms of the bounds along pre-training."""

from collections.abc import Mapping, Sequence
from typing import cast

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from goodsubnet.errors import UserError
from goodsubnet.plots.axes import axis_of
from goodsubnet.plots.canvas import (
    SIDES_INCHES,
    WIDEST_PANEL_INCHES,
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
from goodsubnet.results.analysis import CELL, GROUP
from goodsubnet.settings.figures import FigureStyle

MOST_ROWS = 4
MOST_CHECKPOINTS = 4
NARROWEST_PANEL_INCHES = 1.2

LOSSES = ["measured", "lemma1", "variance_form", "dense_loss", "trivial_loss"]
SQUARED_ONLY = "variance_recursion"
MEASURED: Look = {"color": "black", "linewidth": 2.2}
LEMMA1: Look = {"linewidth": 1.2, "linestyle": (0, (6, 1.5, 1, 1.5))}
VARIANCE_FORM: Look = {"linewidth": 1.2, "marker": "o", "markersize": 2.8}
VARIANCE_RECURSION: Look = {"linewidth": 1, "marker": "D", "markersize": 3, "markerfacecolor": "white"}
DENSE: Look = {"color": "0.35", "linewidth": 0.9, "linestyle": (0, (4, 2))}
TRIVIAL: Look = {"color": "0.35", "linewidth": 1.1, "linestyle": (0, (1, 1.5))}
SAYS_NOTHING: Look = {"facecolor": "0.92", "linewidth": 0}

LARGEST: Look = {"linewidth": 1.1, "marker": "o", "markersize": 2}
MEAN: Look = {"linewidth": 1.1, "linestyle": (0, (4, 1.5)), "marker": "s", "markersize": 1.6}
BAND: Look = {"alpha": 0.2, "linewidth": 0}
# The rows of the figure of the terms: what the y axis says, and the columns of the table with their lines.
TERMS = {
    "D²/m and V/m of\nthe neurons' outputs": {"squared_diameter": LARGEST, "variance": MEAN},
    "l(z₁), loss of the\nbest single neuron": {"first_loss": LARGEST, "trivial_loss": TRIVIAL},
    "movement of weights:\nlargest and mean": {
        "largest_movement": LARGEST,
        "mean_movement": MEAN,
        "initial_length": TRIVIAL,
    },
}


def bounds(table: pd.DataFrame, style: Style, method: str = "greedy") -> Figure:
    """Return the loss of the subnetwork after k selection steps, with the bounds on it.

    One column per checkpoint, at most `MOST_CHECKPOINTS` and as many as fit, chosen by `telling_checkpoints`; one row
    per network, by width, at most `MOST_ROWS`, evenly chosen. Shown are the largest number of examples and the first
    seed. Both axes are logarithmic: a loss of 0 lies below the panel.

    `table` has one row per (experiment, network, width, method, examples, seed, iteration, step), of one experiment,
    with the losses `measured`, `lemma1` (the bound of Lemma 1 in Wolfe et al., arXiv 2108.00259), `variance_form` (see
    `theory.bounds`), `dense_loss` and `trivial_loss` (of the best constant prediction), all means over the examples;
    `variance_recursion`, another bound, is drawn where the table has it. `style` has the keys of `FigureStyle`;
    `method` is the one shown. Raises `UserError` where the table is incomplete, lacks the method, holds several
    experiments, or a loss that is not a number of at least 0.
    """
    look = look_of(style)
    losses = [*LOSSES, SQUARED_ONLY] if table.get(SQUARED_ONLY, pd.Series()).notna().any() else LOSSES
    rows = _rows_of(table, "bounds", method, [*CELL, "step"], losses)
    rows = rows[rows["examples"] == rows["examples"].max()]
    rows = rows[rows["seed"] == rows["seed"].min()].sort_values("step")
    networks = panels_of(rows)
    panels = _evenly(networks, MOST_ROWS)
    most = min(MOST_CHECKPOINTS, max(2, int((look.width_inches - 1) / NARROWEST_PANEL_INCHES)))
    checkpoints = telling_checkpoints(rows[rows["network"].isin([panel.network for panel in panels])], most)
    shown = {
        (row, column): rows[(rows["network"] == panel.network) & (rows["iteration"] == iteration)]
        for row, panel in enumerate(panels)
        for column, iteration in enumerate(checkpoints)
    }
    bottom, top = _log_limits(np.concatenate([part[losses].to_numpy().ravel() for part in shown.values()]))
    looks = {column: line for column, line in _looks_of_losses(look).items() if column in losses}
    with settings():
        width = min(look.width_inches, 1 + WIDEST_PANEL_INCHES * max(2, len(checkpoints)))
        figure = new_figure(look, width, 1.35 + 1.5 * len(panels))
        grid = figure.subplots(len(panels), len(checkpoints), squeeze=False, sharex=True, sharey=True)
        for (row, column), axis in np.ndenumerate(grid):
            _losses_by_step(axis, shown[row, column], looks, top)
            if row == 0:
                axis.set_title(f"iteration {checkpoints[column]:,}")
            if row == len(panels) - 1:
                axis.set_xlabel("selection steps k")
            if column == 0:
                axis.set_ylabel(f"{panels[row].title}\nloss, mean per example")
        axis.set(xscale="log", yscale="log", ylim=(bottom, top))
        axis.set_xlim(0.9, max(10, rows["step"].max() * 1.1))
        for axis in grid.ravel():
            _logarithmic_ticks(axis.xaxis, rows["step"].max() < 100)
            _logarithmic_ticks(axis.yaxis, top / bottom < 1000)
        examples, seed = rows["examples"].iloc[0], rows["seed"].iloc[0]
        title = f"Loss by {method} selection and its bounds: {examples:,} training examples, seed {seed}"
        figure.suptitle(title + _share_shown(panels, networks), fontsize=9.5, wrap=True)
        legend_below(figure, _kinds_of_losses(looks))
        freeze(figure)
    return figure


def terms(table: pd.DataFrame, style: Style, method: str = "greedy") -> Figure:
    """Return the terms of the bounds against the iterations of pre-training, with their spread over seeds.

    One row per kind of term, with a shared y axis: the diameter D^2/m and the variance V/m of the neurons' outputs; the
    loss l(z_1) of the best single neuron; how far the weights of a neuron are from their initial values, the farthest
    and the mean. Solid is what Lemma 3 and Theorem 1 of Wolfe et al. (arXiv 2108.00259) claim to stay bounded.

    One column per network, by width, evenly chosen where there are more than fit; one line per number of examples (mean
    over seeds), coloured in order along the colour map; the band goes from the lowest to the highest seed. A y axis is
    logarithmic where its positive values span a decade or more; where there are zeros, too, it is linear from 0 to the
    power of ten below the smallest of the others.

    `table` has one row per (experiment, network, width, method, examples, seed, iteration), of one experiment, with
    `squared_diameter` (D^2/m), `variance` (V/m), `first_loss` and `trivial_loss` (means over the examples),
    `largest_movement`, `mean_movement` and `initial_length` (Euclidean). Other arguments and errors as in `bounds`; a
    seed or a size that lacks a checkpoint of its network is an error, too.
    """
    look = look_of(style)
    columns = [column for lines in TERMS.values() for column in lines]
    rows = _rows_of(table, "terms", method, CELL, columns)
    networks = panels_of(rows)
    panels = _evenly(networks, max(1, int((look.width_inches - SIDES_INCHES) / NARROWEST_PANEL_INCHES)))
    rows = rows[rows["network"].isin([panel.network for panel in panels])]
    colours = colours_of(rows["examples"], look)
    over_seeds = rows.groupby(["network", "examples", "iteration"])[columns].agg(["mean", "min", "max"])
    with settings():
        width = min(look.width_inches, SIDES_INCHES + WIDEST_PANEL_INCHES * len(panels))
        figure = new_figure(look, width, 1.3 + 1.5 * len(TERMS))
        grid = figure.subplots(len(TERMS), len(panels), squeeze=False, sharey="row")
        panel_width = (width - SIDES_INCHES) / len(panels)
        for (row, column), axis in np.ndenumerate(grid):
            label, lines = list(TERMS.items())[row]
            of_network = cast(pd.DataFrame, over_seeds.loc[panels[column].network])
            _terms_by_iteration(axis, of_network, lines, colours)
            checkpoints = of_network.index.unique("iteration").sort_values()
            axis_of(axis, "x", checkpoints, panel_width, "iterations")
            axis.xaxis.label.set_fontsize(8 * min(1, panel_width / 1.5))
            if row == 0:
                axis.set_title(panels[column].title)
            if row < len(TERMS) - 1:
                axis.tick_params(axis="x", which="both", labelbottom=False)
                axis.set_xlabel("")
            if column == 0:
                axis.set_ylabel(label)
        for axes, lines in zip(grid, TERMS.values(), strict=True):
            _axis_of_terms(axes, rows[list(lines)].to_numpy())
        seeds = pd.Series(rows["seed"].nunique())
        title = f"Terms of the bounds on {method} selection, {mean_over(seeds)}"
        figure.suptitle(title + _share_shown(panels, networks), fontsize=9.5, wrap=True)
        handles = [Line2D([], [], color=colour, linewidth=2, label=f"{size:,}") for size, colour in colours.items()]
        figure.legend(handles=handles, title="training\nexamples", loc="outside right center", alignment="left")
        legend_below(figure, _kinds_of_terms(seeds))
        freeze(figure)
    return figure


def telling_checkpoints(rows: pd.DataFrame, most: int) -> list[int]:
    """Return at most `most` (>= 2) checkpoints that all networks have, the first and the last among them.

    Those in between divide the path of the dense loss evenly: the sum of the changes of its logarithm from one
    checkpoint to the next, mean over the networks. `rows` has the columns `network`, `iteration` and `dense_loss`.
    Raises `UserError` where the networks have no checkpoint in common.
    """
    losses = rows.pivot_table(index="iteration", columns="network", values="dense_loss").dropna()
    if losses.empty:
        raise UserError("no checkpoint is in the table of bounds for every network; give the networks a common one")
    iterations = losses.index.to_list()
    if len(iterations) <= most:
        return iterations
    smallest = losses.to_numpy()[losses.to_numpy() > 0].min(initial=1)
    changes = np.abs(np.diff(np.log(losses.clip(lower=smallest)), axis=0)).mean(axis=1)
    way = np.concatenate([[0], np.cumsum(changes if changes.any() else np.ones(len(changes)))])
    chosen = [0]
    for place in range(1, most - 1):
        nearest = int(np.abs(way - place / (most - 1) * way[-1]).argmin())
        chosen.append(int(np.clip(nearest, chosen[-1] + 1, len(way) - most + place)))
    return [iterations[place] for place in [*chosen, len(way) - 1]]


def _rows_of(table: pd.DataFrame, name: str, method: str, keys: list[str], values: list[str]) -> pd.DataFrame:
    """Return the rows of a method, one for each network and `keys`, `values` as numbers of at least 0, or raise."""
    missing = [column for column in [*GROUP, *keys, *values] if column not in table.columns]
    if missing:
        raise UserError(
            f"the table of {name} has no column {', '.join(map(repr, missing))}; "
            f"its columns are {', '.join(map(str, table.columns))}"
        )
    given = table[table["method"] == method]
    if given.empty:
        methods = ", ".join(sorted(map(str, table["method"].unique()))) or "no rows"
        raise UserError(f"the table of {name} has no method {method!r}; it has {methods}")
    # Raises for several experiments, whose rows would look repeated.
    panels_of(given)
    rows = given.assign(**{column: pd.to_numeric(given[column], errors="coerce") for column in [*keys, *values]})
    for column in [*keys, *values]:
        wrong = ~(np.isfinite(rows[column]) & (rows[column] >= 0)).to_numpy()
        if wrong.any():
            raise UserError(
                f"{_cell_name(rows[wrong].iloc[0])}: {column} is {given[wrong][column].iloc[0]} in the table of "
                f"{name}; it must be a finite number of at least 0: look at the training of this network"
            )
    repeated = rows.duplicated(["network", *keys])
    if repeated.any():
        raise UserError(
            f"{_cell_name(rows[repeated].iloc[0])}: the table of {name} has more than one row for it; keep one of them"
        )
    _refuse_gaps(rows, name)
    return rows


def _refuse_gaps(rows: pd.DataFrame, name: str) -> None:
    """Raise `UserError` where a network lacks a size, or one of its checkpoints for a seed and a size."""
    for network, group in rows.groupby("network", sort=False):
        levels = [rows["seed"].unique(), rows["examples"].unique(), group["iteration"].unique()]
        wanted = pd.MultiIndex.from_product(levels, names=CELL)
        absent = wanted.difference(pd.MultiIndex.from_frame(group[CELL]))
        if len(absent):
            cell = _cell_name({"network": network, **dict(zip(CELL, absent[0], strict=True))})
            raise UserError(
                f"{cell}: the table of {name} has no row for it ({len(absent):,} of {len(wanted):,} are missing); run "
                "what is missing, or leave that seed or that size out"
            )


def _cell_name(row: Mapping[str, object] | pd.Series) -> str:
    """Return the words for the network, size, seed and checkpoint of a row."""
    return (
        f"network {row['network']!r}, {row['examples']:,} examples, seed {row['seed']}, iteration {row['iteration']:,}"
    )


def _evenly(panels: list[Panel], most: int) -> list[Panel]:
    """Return at most so many of the panels, the first and the last among them."""
    places = np.linspace(0, len(panels) - 1, min(most, len(panels)))
    return [panels[place] for place in places.round().astype(int)]


def _share_shown(panels: Sequence[Panel], networks: Sequence[Panel]) -> str:
    """Return the words for how many networks a figure leaves out."""
    return "" if len(panels) == len(networks) else f" ({len(panels)} of {len(networks)} networks)"


def _log_limits(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of a logarithmic axis of at least a decade that holds all positive values."""
    positive = values[values > 0]
    low, high = (positive.min(), positive.max()) if positive.size else (0.1, 1.0)
    room = max(1.3, (10 * low / high) ** 0.5)
    return float(low / room), float(high * room)


def _looks_of_losses(look: FigureStyle) -> dict[str, Look]:
    """Return how the line of each column of losses looks: no two alike in grey."""
    variance_form, variance_recursion, lemma1 = matplotlib.colormaps[look.colormap]([0.25, 0.45, 0.65])
    return {
        "measured": MEASURED,
        "lemma1": LEMMA1 | {"color": lemma1},
        "variance_form": VARIANCE_FORM | {"color": variance_form},
        SQUARED_ONLY: VARIANCE_RECURSION | {"color": variance_recursion},
        "dense_loss": DENSE,
        "trivial_loss": TRIVIAL,
    }


def _losses_by_step(axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], top: float) -> None:
    """Draw one panel: measured loss and bounds by step, the dense and the trivial loss as horizontal lines."""
    axis.axhspan(rows["trivial_loss"].iloc[0], top, **SAYS_NOTHING, gid="says nothing")
    # Marks at even distances on the logarithmic axis, the first and the last step among them.
    marks = np.unique(np.geomspace(1, len(rows), 8).round().astype(int)) - 1
    for column, line in looks.items():
        if column in ("dense_loss", "trivial_loss"):
            axis.axhline(rows[column].iloc[0], **line, gid=column)
        else:
            axis.plot(rows["step"], rows[column], **line, markevery=marks.tolist(), gid=column)


def _kinds_of_losses(looks: Mapping[str, Look]) -> list[Line2D | Patch]:
    """Return legend entries for the lines and the shade."""
    labels = {
        "measured": "subnetwork, measured",
        "lemma1": "bound of Lemma 1 (D²)",
        "variance_form": "bound, variance form (V)",
        SQUARED_ONLY: "bound, variance recursion (V)",
        "dense_loss": "dense network",
        "trivial_loss": "best constant prediction",
    }
    lines = [Line2D([], [], **looks[column], label=label) for column, label in labels.items() if column in looks]
    return [*lines, Patch(**SAYS_NOTHING, label="a bound in here says nothing")]


def _logarithmic_ticks(axis: Axis, fine: bool) -> None:
    """Give a logarithmic x or y axis ticks in plain numbers: the powers of ten, or 1, 2, 5, 10 ..., if it is `fine`."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if fine else (1,), numticks=7))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _terms_by_iteration(
    axis: Axes, values: pd.DataFrame, lines: Mapping[str, Look], colours: Mapping[int, np.ndarray]
) -> None:
    """Draw one panel: for each size and column its mean over seeds, and the band from lowest to highest seed.

    values: index (examples, iteration), columns (column, "mean", "min" or "max").
    """
    for size, colour in colours.items():
        for column, line in lines.items():
            part = cast(pd.DataFrame, values.loc[size, column]).sort_index()
            drawn: Look = {"color": colour, "gid": column} | line
            if line is TRIVIAL:
                axis.axhline(part["mean"].iloc[0], **drawn)
            else:
                axis.fill_between(part.index, part["min"], part["max"], color=colour, **BAND)
                # Marks at every one of many checkpoints would hide the dashes.
                axis.plot(part.index, part["mean"], **drawn, markevery=max(1, len(part) // 8))


def _axis_of_terms(axes: np.ndarray, values: np.ndarray) -> None:
    """Scale the y axis that a row of panels shares for these values, as `terms` says."""
    positive = values[values > 0]
    if not positive.size or positive.max() < 10 * positive.min():
        axes[0].set_ylim(0, 1.08 * values.max() or 1)
        return
    bottom, top = _log_limits(values)
    if positive.size == values.size:
        axes[0].set(yscale="log", ylim=(bottom, top))
        for axis in axes:
            _logarithmic_ticks(axis.yaxis, top / bottom < 1000)
    else:
        smallest = 10 ** np.floor(np.log10(positive.min()))
        # As far as two labels need, however many decades there are.
        axes[0].set_yscale("symlog", linthresh=smallest, linscale=max(0.5, 0.1 * np.log10(top / smallest)))
        axes[0].set_ylim(0, top)
        for axis in axes:
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def _kinds_of_terms(seeds: pd.Series) -> list[Line2D | Patch]:
    """Return legend entries for what the lines and bands are."""
    labels = [
        (LARGEST, "D²/m, l(z₁), largest movement of a neuron's weights"),
        (MEAN, "V/m, mean movement"),
        (TRIVIAL, "best constant prediction, length of initial weights"),
    ]
    handles: list[Line2D | Patch] = [Line2D([], [], **({"color": "0.2"} | line), label=label) for line, label in labels]
    band = Patch(facecolor="0.2", **BAND, label="lowest to highest seed")
    return [*handles, band] if seeds.max() > 1 else handles
