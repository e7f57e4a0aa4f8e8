"""The figure of the stopping rules: what each saves of the pre-training, and what that costs in accuracy."""

from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from goodsubnet.errors import UserError
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

DRAWN = ["experiment", "network", "width", "examples", "rule", "seeds", "fired", "end_regret"]
MEASURED = [f"{name}{end}" for name in ("saved", "regret") for end in ("", "_low", "_high")]
PANEL_INCHES = 2.1  # height
LABELS_INCHES = 0.75  # of the y axis, at the left
MARKERS = ["o", "s", "D", "^", "v", "P", "X", "p", "h", "*"]
# Of Okabe and Ito: told apart by those who do not see all colours.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933"]
TICKS = [0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 100]
WORDS = {"train_accuracy": "accuracy on the sub-dataset", "test_accuracy": "test accuracy"}
# Rules that stop alike would hide one another: each stands this many points beside the one before.
BESIDE = 5.0
END: Look = {"linestyle": "none", "marker": "_", "markersize": 13, "markeredgewidth": 1.6, "color": "0.55"}
GOOD = "#e3f2e1"


class _Scored(Protocol):
    """A row of the table of scores, as far as it is drawn."""

    rule: str
    seeds: int
    fired: int
    saved: float
    saved_low: float
    saved_high: float
    regret: float
    regret_low: float
    regret_high: float


def stopping_figure(scores: pd.DataFrame, style: Style, accuracy: str) -> Figure:
    """Return the figure of the rules: share of pre-training saved (x) against accuracy lost (y), one mark per rule.

    One panel per network at its smallest and one at its largest number of examples; the good corner, lower right, is
    shaded. Bars are the intervals over seeds, cut where they leave the axes. A hollow mark did not stop every training.
    Marks that lie on one another are moved apart. The grey dash is what training to the end loses against the best
    checkpoint. The y axis spreads the cube root. Rules that are not applicable are left out.

    `scores` is the table of `stopping.scores.scores`, of one experiment; `accuracy` is the column it was judged by.
    Raises `UserError` where the table lacks a column, has no rows, or holds several experiments.
    """
    look = look_of(style)
    missing = [name for name in [*DRAWN, *MEASURED] if name not in scores.columns]
    if missing or scores.empty:
        what = f"has no column {', '.join(map(repr, missing))}" if missing else "has no rows"
        raise UserError(f"the table of scores {what}; make it again")
    looks = {rule: _mark(number) for number, rule in enumerate(scores["rule"].unique())}
    sizes = scores.groupby("network")["examples"].agg(["min", "max"])
    cells = [(panel, cast(int, sizes.loc[panel.network, end])) for end in ("min", "max") for panel in panels_of(scores)]
    # Once, where there is one size.
    cells = list(dict.fromkeys(cells))
    ends = scores["network"].map(sizes["min"]), scores["network"].map(sizes["max"])
    shown = scores[(scores["examples"].eq(ends[0]) | scores["examples"].eq(ends[1])) & scores["saved"].notna()]
    with settings():
        rows, columns = grid_of(len(cells), look)
        width = min(look.width_inches, LABELS_INCHES + WIDEST_PANEL_INCHES * max(columns, 1.6))
        figure = new_figure(look, width, 1.1 + rows * (PANEL_INCHES + 0.3))
        axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel())
        for unused in axes[len(cells) :]:
            unused.remove()
        _scales(axes[0], shown)
        for number, (axis, (panel, size)) in enumerate(zip(axes, cells, strict=False)):
            ours = shown[(shown["network"] == panel.network) & (shown["examples"] == size)]
            axis.set_title(f"{panel.title}, {size:,} examples")
            _panel(axis, ours, looks)
            if number >= len(cells) - columns:
                axis.tick_params(axis="x", labelbottom=True)
                axis.set_xlabel("pre-training saved, %")
            if number % columns == 0:
                axis.set_ylabel("accuracy lost, points")
        title = [
            f"When to stop: {WORDS.get(accuracy, accuracy)} against the best checkpoint",
            mean_over(scores["seeds"]),
        ]
        # Up to two panels are narrower than the title in one line.
        figure.suptitle((", " if columns > 2 else "\n").join(title), fontsize=9.5)
        legend_below(figure, _legend(shown, looks))
        freeze(figure)
    return figure


def _scales(axis: Axes, shown: pd.DataFrame) -> None:
    """Give the shared axes their range: all of what can be saved, and losses from 0 to a little above the largest."""
    top = 100 * np.nanmax([*shown["regret"], *shown["end_regret"], 0.0])
    top = max(top * 1.5, 0.1)
    axis.set_yscale("function", functions=(np.cbrt, lambda root: np.asarray(root) ** 3))
    axis.set(xlim=(-6, 106), ylim=(-top * 0.0004, top))
    ticks = [tick for tick in TICKS if tick <= top]
    # As many as have room, 0 and the largest first.
    kept: list[float] = [0]
    for tick in reversed(ticks[1:]):
        if all(abs(np.cbrt(tick) - np.cbrt(other)) >= 0.08 * np.cbrt(top) for other in kept):
            kept.append(tick)
    axis.set_yticks(kept, [f"{tick:g}" for tick in kept])
    axis.set_xticks([0, 25, 50, 75, 100])
    axis.minorticks_off()


def _panel(axis: Axes, ours: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Draw the rules of one network and number of examples."""
    low, high = axis.get_ylim()
    corner = np.cbrt(high) / 3
    axis.fill_between([50, 106], low, corner**3, color=GOOD, zorder=0, linewidth=0, gid="good corner")
    axis.annotate(
        "better", (1, 0), (-4, 4), xycoords="axes fraction", textcoords="offset points", ha="right", color="0.4"
    )
    if len(ours):
        axis.plot([0], [100 * ours["end_regret"].iloc[0]], **END, zorder=1.5, gid="end")
    places: dict[tuple[float, float], int] = {}
    for row in cast(Iterable[_Scored], ours.itertuples(index=False)):
        x, y = 100 * row.saved, 100 * row.regret
        place = (round(x / 3), round(float(np.cbrt(y)) / (0.04 * np.cbrt(high))))
        moved = places.get(place, 0)
        places[place] = moved + 1
        shift = ScaledTranslation(moved * BESIDE / 72, 0, axis.figure.dpi_scale_trans)
        mark = looks[row.rule]
        bars: Look = {
            "color": mark["color"],
            "linewidth": 0.8,
            "alpha": 0.7,
            "zorder": 2,
            "transform": axis.transData + shift,
        }
        if not np.isnan(row.saved_low):
            axis.plot(np.clip([100 * row.saved_low, 100 * row.saved_high], 0, 100), [y, y], **bars, gid="interval")
            axis.plot([x, x], np.clip([100 * row.regret_low, 100 * row.regret_high], 0, high), **bars, gid="interval")
        face = mark["color"] if row.fired == row.seeds else "white"
        axis.plot([x], [y], **mark, markerfacecolor=face, zorder=3, transform=axis.transData + shift, clip_on=False)


def _mark(number: int) -> Look:
    """Return the look of a rule's mark."""
    shape = {"marker": MARKERS[number % len(MARKERS)], "color": COLOURS[number % len(COLOURS)]}
    return {**shape, "linestyle": "none", "markersize": 5.5, "markeredgewidth": 1.1}


def _legend(shown: pd.DataFrame, looks: Mapping[str, Look]) -> list[Line2D]:
    drawn = [rule for rule in looks if (shown["rule"] == rule).any()]
    entries = [Line2D([], [], **looks[rule], label=rule.replace("_", " ")) for rule in drawn]
    if (shown["fired"] < shown["seeds"]).any():
        hollow: Look = {
            "marker": "o",
            "color": "0.4",
            "markerfacecolor": "white",
            "linestyle": "none",
            "markersize": 5.5,
        }
        entries.append(Line2D([], [], **hollow, label="hollow: did not stop every training"))
    return [*entries, Line2D([], [], **END, label="trained to the end")]
