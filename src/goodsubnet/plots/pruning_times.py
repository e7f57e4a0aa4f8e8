"""Figure 4: the time that pruning takes with one worker and with several."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from goodsubnet.plots.canvas import Look, Style, colours_of, freeze, legend_below, look_of, new_figure, settings

PANEL_INCHES = 1.45
SIDES_INCHES = 0.7
HEIGHT_INCHES = 3.4
COMMUNICATION: Look = {"facecolor": "0.6", "linewidth": 0}
CROWDED: Look = {"hatch": "//////", "edgecolor": "white", "linewidth": 0}
SPREAD: Look = {"ecolor": "black", "elinewidth": 0.8, "capsize": 2.5, "capthick": 0.8, "fmt": "none"}
IDEAL: Look = {"color": "#e3001b", "linewidth": 1, "linestyle": (0, (4, 2)), "marker": "_", "markersize": 8}


def figure4(table: pd.DataFrame, style: Style) -> Figure:
    """Return Figure 4 of Wolfe et al. (arXiv 2108.00259): pruning time against the number of workers.

    One panel per layer, in the order of the table. A bar is the median over the repetitions, its grey part was spent on
    communication and on waiting for others, its whisker goes from the fastest to the slowest. The dashed line is the
    ideal: the time of one worker over their number. Hatched: more workers than the machine runs at full speed.

    table: a `pruning_times_table`. style: the keys of `FigureStyle`; raises `UserError` for another.
    """
    look = look_of(style)
    layers = table[["what", "channels"]].drop_duplicates().itertuples(index=False)
    panels = [(what, channels, table[table["what"] == what]) for what, channels in layers]
    with settings():
        width = min(look.width_inches, SIDES_INCHES + PANEL_INCHES * max(3, len(panels)))
        figure = new_figure(look, width, HEIGHT_INCHES)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        colour = colours_of(range(3), look)[1]
        for axis, (what, channels, rows) in zip(axes, panels, strict=True):
            _panel(axis, rows, colour)
            kind = "neurons" if what == "two-layer network" else "channels"
            axis.set_title(f"{what}\n{channels:,} {kind}", fontsize=7.5)
        axes[0].set_ylabel("seconds")
        for axis in axes:
            axis.set_xlabel("workers")
        repetitions = table["repetition"].nunique()
        device = "CPU cores" if (table["device"] == "cpu").all() else "accelerators"
        ideal = table["workers"].min() == 1
        title = "Pruning time" if repetitions == 1 else f"Pruning time, median and range of {repetitions}"
        figure.suptitle(f"{title}; on {device}", fontsize=9.5)
        handles: list[Line2D | Patch] = [
            Patch(facecolor=colour, label="selection"),
            Patch(**COMMUNICATION, label="communication and waiting"),
        ]
        if ideal:
            handles.append(Line2D([], [], **IDEAL, label="ideal: time of one / workers"))
        if table["crowded"].any():
            few = "cores" if (table["device"] == "cpu").all() else "accelerators"
            handles.append(Patch(facecolor=colour, **CROWDED, label=f"more workers than {few}"))
        legend_below(figure, handles)
        freeze(figure)
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, colour: np.ndarray) -> None:
    rows = rows.assign(talking=rows["communication"] + rows["waiting"])
    groups = rows.groupby("workers")
    middle, low, high = (getattr(groups["seconds"], name)() for name in ("median", "min", "max"))
    talking, crowded = groups["talking"].median(), groups["crowded"].any()
    places = np.arange(len(middle))
    for place, workers in zip(places, middle.index, strict=True):
        look = CROWDED if crowded[workers] else {"linewidth": 0}
        selecting = middle[workers] - talking[workers]
        axis.bar(place, selecting, 0.7, color=[colour], gid="selection", **look)
        axis.bar(place, talking[workers], 0.7, bottom=selecting, gid="communication", **COMMUNICATION)
    axis.errorbar(places, middle, [middle - low, high - middle], **SPREAD)
    if middle.index[0] == 1:
        axis.plot(places, middle[1] / middle.index, gid="ideal", **IDEAL)
    for place, (workers, seconds) in zip(places, middle.items(), strict=True):
        if middle.index[0] == 1 and workers > 1:
            axis.annotate(
                f"{middle[1] / seconds:.2f}x",
                (place, high[workers]),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=6.5,
                bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5},
            )
    axis.set_xticks(places, [f"{workers}" for workers in middle.index])
    axis.set_ylim(0, 1.12 * high.max())
    axis.margins(x=0.08)
