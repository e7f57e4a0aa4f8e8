"""The figure of the thresholds in pre-training iterations (see `goodsubnet.theory.thresholds` and `.laws`)."""

from collections.abc import Iterable
from typing import Protocol, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from goodsubnet.errors import UserError
from goodsubnet.plots.axes import log_ticks
from goodsubnet.plots.canvas import (
    WIDEST_PANEL_INCHES,
    Look,
    Style,
    freeze,
    grid_of,
    legend_below,
    look_of,
    mean_over,
    new_figure,
    panels_of,
    settings,
)
from goodsubnet.results.analysis import GROUP
from goodsubnet.settings.figures import FigureStyle
from goodsubnet.theory.laws import FORMULAS, law_values

QUANTITY = "loss threshold"
MEASURED = ["examples", "seeds", "measured", "low", "high", "censored", "last_iteration", "predicted", "constant"]
FITTED = ["quantity", "law", "a", "b", "weight", "verdict"]

PANEL_INCHES = 2.1  # height
LABELS_INCHES = 0.75  # of the y axis, at the left
LAW_LINES = {"logarithmic": (0, (1, 1.2)), "power": "-", "linear": (0, (5, 2))}
PREDICTION_COLOUR = "#2166ac"
LAST_CHECKPOINT: Look = {"color": "0.8", "linewidth": 2.5, "zorder": 0}
LABELS = {
    "no": "measured: the loss stays low from here on",
    "first interval": "in the first interval: earlier, by how much is not known",
    "no plateau": "in the last interval: the loss may still be falling",
    "never": "not by the last checkpoint",
    "at or before first": "at or before the first checkpoint",
}
TICKS = [(1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)]


class _FittedLaw(Protocol):
    """A row of the table of laws, as far as it is drawn."""

    law: str
    a: float
    b: float
    verdict: str


def thresholds_figure(thresholds: pd.DataFrame, laws: pd.DataFrame, style: Style) -> Figure:
    """Return the thresholds against the number of examples, with the laws fitted to them and Theorem 3's prediction.

    One panel per network and method, by width; both axes logarithmic and shared by all panels. Bars are the intervals
    over seeds. What lies beyond the axes is at their edge: a prediction of 0, an interval's end at iteration 0 or
    beyond the last checkpoint. The lines are the three laws of the loss threshold, over the sizes measured without
    censoring, and the text above a panel is their verdict.

    `thresholds` and `laws` are the tables of one experiment from `theory.thresholds.thresholds` and
    `theory.laws.compare_laws`; `style` has the keys of `FigureStyle`. Raises `UserError` where a table lacks a column
    or laws, or holds several experiments.
    """
    look = look_of(style)
    _require(thresholds, "thresholds", [*GROUP, *MEASURED])
    _require(laws, "laws", [*GROUP, *FITTED])
    methods = sorted(thresholds["method"].unique())
    panels = [(panel, method) for method in methods for panel in panels_of(thresholds[thresholds["method"] == method])]
    numeric = {name: pd.to_numeric(thresholds[name], errors="coerce") for name in ("predicted", "constant")}
    thresholds, laws = thresholds.assign(**numeric), laws[laws["quantity"] == QUANTITY]
    sizes = _limits(thresholds[["examples"]])
    span = _limits(thresholds[["measured", "low", "high", "last_iteration", "predicted"]])
    with settings():
        rows, columns = grid_of(len(panels), look)
        width = min(look.width_inches, LABELS_INCHES + WIDEST_PANEL_INCHES * max(columns, 1.4))
        figure = new_figure(look, width, 1.3 + rows * (PANEL_INCHES + 0.5))
        axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel())
        for unused in axes[len(panels) :]:
            unused.remove()
        axes[0].set(xscale="log", yscale="log", xlim=sizes, ylim=span)
        _log_ticks(axes[0].xaxis, sizes, (width - LABELS_INCHES) / columns)
        _log_ticks(axes[0].yaxis, span, PANEL_INCHES)
        for number, (axis, (panel, method)) in enumerate(zip(axes, panels, strict=False)):
            ours, fitted = (
                table[(table["network"] == panel.network) & (table["method"] == method)] for table in (thresholds, laws)
            )
            if set(fitted["law"]) != set(FORMULAS):
                raise UserError(
                    f"the table of laws lacks some for network {panel.network!r}, method {method!r}; "
                    "make it from the same evaluations as the thresholds"
                )
            axis.set_title(panel.title if len(methods) == 1 else f"{panel.title}, {method}", pad=24)
            above: Look = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
            axis.annotate(_verdict(fitted), (0.5, 1), (0, 4), **above, fontsize=7, color="0.3")
            _laws(axis, ours, fitted)
            _marks(axis, ours, span, look)
            if number >= len(panels) - columns:
                axis.tick_params(axis="x", labelbottom=True)
                axis.set_xlabel("training examples m")
            if number % columns == 0:
                axis.set_ylabel("pre-training iterations t")
        of = f" of {methods[0]} selection" if len(methods) == 1 else ""
        title = [f"Pre-training until the loss{of} stays low", mean_over(thresholds["seeds"])]
        # One panel is narrower than the title in one line.
        figure.suptitle((", " if columns > 1 else "\n").join(title), fontsize=9.5)
        legend_below(figure, _kinds(thresholds, laws, look))
        freeze(figure)
    return figure


def _laws(axis: Axes, thresholds: pd.DataFrame, laws: pd.DataFrame) -> None:
    """Draw the laws of one panel, the one that its verdict names thicker."""
    sizes = thresholds.loc[thresholds["censored"] == "no", "examples"]
    if sizes.empty:
        return
    examples = np.geomspace(sizes.min(), sizes.max(), 200)
    for row in cast(Iterable[_FittedLaw], laws.itertuples(index=False)):
        values = law_values(row.law, examples, row.a, row.b)
        line: Look = {
            "color": "0.25",
            "linestyle": LAW_LINES[row.law],
            "linewidth": 1.6 if row.law == row.verdict else 0.8,
        }
        axis.plot(examples, np.where(values > 0, values, np.nan), **line, zorder=2, gid=f"{row.law} law")


def _marks(axis: Axes, thresholds: pd.DataFrame, span: tuple[float, float], look: FigureStyle) -> None:
    """Draw the thresholds and predictions of one panel, what lies beyond the axis at its edge."""
    axis.axhline(thresholds["last_iteration"].max(), **LAST_CHECKPOINT)
    place = thresholds["measured"].fillna(thresholds["last_iteration"]).clip(*span)
    low, high = (thresholds[name].fillna(place).clip(*span) for name in ("low", "high"))
    axis.vlines(thresholds["examples"], low, high, color=look.red_line, linewidth=1.1, zorder=3, gid="interval")
    for kind in LABELS:
        here = thresholds["censored"] == kind
        if here.any():
            axis.plot(thresholds.loc[here, "examples"], place[here], **_mark(kind, look), zorder=4, clip_on=False)
    predicted = thresholds["predicted"].clip(*span)
    for kind, here in _predictions(thresholds).items():
        if here.any():
            axis.plot(thresholds.loc[here, "examples"], predicted[here], **_mark(kind, look), zorder=3.5, clip_on=False)


def _mark(kind: str, look: FigureStyle) -> Look:
    """Return the look of a mark: one of `LABELS`, or of `_predictions`."""
    shared: Look = {"linestyle": "none", "gid": kind}
    if kind.startswith("predicted"):
        face = PREDICTION_COLOUR if kind == "predicted" else "white"
        return {**shared, "color": PREDICTION_COLOUR, "marker": "D", "markersize": 3.6, "markerfacecolor": face}
    shapes = {"no": "o", "first interval": "<", "no plateau": "o", "never": "^", "at or before first": "v"}
    shape = shapes[kind]
    face = look.red_line if kind == "no" else "white"
    size = 4.2 if shape == "o" else 5.5
    return {**shared, "color": look.red_line, "marker": shape, "markersize": size, "markerfacecolor": face}


def _predictions(thresholds: pd.DataFrame) -> dict[str, pd.Series]:
    """Return where there is a prediction to draw, and where it is 0."""
    return {"predicted": thresholds["predicted"] > 0, "predicted 0": thresholds["predicted"] == 0}


def _verdict(laws: pd.DataFrame) -> str:
    """Return what the laws of one panel come to, in two lines."""
    verdict = laws["verdict"].iloc[0]
    if laws["weight"].isna().all():
        return f"law {verdict}".replace(" (", "\n(")
    best = laws.loc[cast(int, laws["weight"].idxmax())]
    # 0.996 must not read as certainty.
    weight = f"{best['weight']:.2f}" if best["weight"] < 0.995 else "> 0.99"
    if verdict in FORMULAS:
        return f"{verdict} law\nAIC weight {weight}"
    return f"{verdict}\nbest: {best['law']}, AIC weight {weight}"


def _kinds(thresholds: pd.DataFrame, laws: pd.DataFrame, look: FigureStyle) -> list[Line2D]:
    """Return legend entries for what is drawn."""
    kinds = [
        Line2D([], [], **_mark(kind, look), label=words)
        for kind, words in LABELS.items()
        if (thresholds["censored"] == kind).any()
    ]
    if thresholds["low"].notna().any():
        bar: Look = {"linestyle": "none", "marker": "|", "markersize": 9, "markeredgewidth": 1.1}
        kinds.append(Line2D([], [], **bar, color=look.red_line, label="interval over seeds"))
    constant = thresholds["constant"].dropna()
    fitted = f", with c = {constant.iloc[0]:,.3g} fitted" if len(constant) else ""
    words = {"predicted": f"Theorem 3{fitted}", "predicted 0": "Theorem 3: 0"}
    for kind, here in _predictions(thresholds).items():
        if here.any():
            kinds.append(Line2D([], [], **_mark(kind, look), label=words[kind]))
    if laws["a"].notna().any():
        line: Look = {"color": "0.25", "linewidth": 0.9}
        kinds += [
            Line2D([], [], **line, linestyle=LAW_LINES[law], label=f"{law} law, t = {formula.replace('m^b', 'mᵇ')}")
            for law, formula in FORMULAS.items()
        ]
    return [*kinds, Line2D([], [], **LAST_CHECKPOINT, label="last checkpoint")]


def _limits(values: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of a logarithmic axis for the positive and finite ones of these values."""
    numbers = values.to_numpy(np.float64)
    shown = numbers[np.isfinite(numbers) & (numbers > 0)]
    low, high = (shown.min(), shown.max()) if shown.size else (1.0, 1.0)
    room = max(1.25, (3 * low / high) ** 0.5)
    return low / room, high * room


def _log_ticks(axis: XAxis | YAxis, limits: tuple[float, float], inches: float) -> None:
    """Give a logarithmic axis as many round ticks as its labels have room for, and no other."""
    log_ticks(axis, limits, inches, TICKS, 3)
    axis.set_ticks([], minor=True)


def _require(table: pd.DataFrame, name: str, columns: list[str]) -> None:
    """Raise `UserError` where the table lacks one of the columns, or has no rows."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(f"the table of {name} has no column {', '.join(map(repr, missing))}; make it again")
    if table.empty:
        raise UserError(f"the table of {name} has no rows; make it from evaluations of a greedy method")
