"""Axes and scales: where a value goes on paper, and how much of the axis it gets."""

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from numpy.typing import ArrayLike

# What each scale spreads evenly, in words for the reader of the figure.
SCALES = {"power": "cube root of the error", "log": "logarithm of the error", "linear": ""}
DIGIT_INCHES = 0.062  # of a tick label, 7 points


class AccuracyScale:
    """A monotone map of accuracies to the positions at which colours and axes show them.

    `values` are the accuracies to be shown; `kind` is a key of `SCALES`.
    """

    def __init__(self, values: Iterable[float], kind: str):
        values = np.asarray(values, dtype=np.float64)
        self.kind = kind
        errors = 1 - values[values < 1 - 1e-9]
        self.floor = errors.min() / 2 if errors.size else 1e-3
        low, high = values.min(), values.max()
        if high - low < 1e-6:
            low, high = max(0.0, low - 0.01), min(1.0, high + 0.01)
        self.low, self.high = self._rounded(low, high, np.floor), self._rounded(high, low, np.ceil)

    def forward(self, accuracy: np.ndarray | float) -> np.ndarray:
        """Return the position of an accuracy."""
        if self.kind == "linear":
            return np.asarray(accuracy)
        error = 1 - np.asarray(accuracy)
        return -np.log10(np.maximum(error, self.floor)) if self.kind == "log" else -np.cbrt(error)

    def inverse(self, position: np.ndarray | float) -> np.ndarray:
        """Return the accuracy at a position."""
        if self.kind == "linear":
            return np.asarray(position)
        return 1 - (10.0 ** -np.asarray(position) if self.kind == "log" else (-np.asarray(position)) ** 3)

    def ticks(self, count: int) -> list[float]:
        """Return about `count` accuracies, evenly spread in position, each as round as its place allows."""
        positions = np.linspace(*cast(tuple[float, float], self.forward(np.array([self.low, self.high]))), count)
        near = 0.3 * (positions[1] - positions[0])
        round_errors = [0.0, *(mantissa * 10.0**-power for mantissa in (1, 5, 2, 3) for power in range(1, 6))]
        ticks = set()
        for position in positions:
            exact = float(np.clip(self.inverse(position), self.low, self.high))
            choices = [1 - error for error in round_errors] + [round(exact, digits) for digits in range(1, 9)]
            ticks.add(next((tick for tick in choices if self._stands_for(tick, position, near)), exact))
        return sorted(ticks)

    def _rounded(self, end: float, other: float, outwards: np.ufunc) -> float:
        """Return the roundest accuracy beyond one end that leaves little of the scale unused."""
        place, other_place = self.forward(np.array([end, other]))
        for digits in range(1, 9):
            rounded = float(outwards(round(end * 10**digits, 6)) / 10**digits)
            if abs(self.forward(rounded) - place) <= 0.12 * abs(place - other_place):
                return rounded
        return float(end)

    def _stands_for(self, tick: float, position: float, near: float) -> bool:
        """Return whether a tick lies on the scale, and no farther than `near` from a position."""
        return cast(bool, self.low <= tick <= self.high and abs(self.forward(tick) - position) <= near)

    def words(self) -> str:
        """Return what the reader of a colour bar or an axis must know of the scale."""
        return f" (scale: {SCALES[self.kind]})" if SCALES[self.kind] else ""


def accuracy_axis(axis: Axes, scale: AccuracyScale) -> None:
    """Give a panel's y axis the scale of accuracies, with a little room at both ends."""
    bottom, top = scale.forward(np.array([scale.low, scale.high]))
    room = 0.03 * (top - bottom)
    axis.set_yscale("function", functions=(scale.forward, scale.inverse))
    axis.set_ylim(*scale.inverse(np.array([bottom - room, top + room])))
    axis.set_yticks(scale.ticks(7), [f"{tick:g}" for tick in scale.ticks(7)])
    axis.minorticks_off()


def axis_of(axis: Axes, name: str, values: ArrayLike, inches: float, label: str) -> None:
    """Set up the x or y axis: cells of these values, a tick at each, labels on as many as fit in `inches`.

    Values whose narrowest cell would be less than half an equal share of the axis get equal cells instead,
    and the label says so. The data keep their own coordinates: only the scale of the axis bends.
    """
    values = np.asarray(values, dtype=np.float64)
    edges = cell_edges(values)
    if not is_to_scale(values):
        knots = np.concatenate([edges[:1], values, edges[-1:]])
        places = np.concatenate([[-0.5], np.arange(len(values)), [len(values) - 0.5]])
        getattr(axis, f"set_{name}scale")(
            "function",
            functions=(lambda x: np.interp(x, knots, places), lambda u: np.interp(u, places, knots)),
        )
        at = np.interp(values, knots, places) / len(values)
    else:
        at = (values - edges[0]) / (edges[-1] - edges[0])
    getattr(axis, f"set_{name}lim")(edges[0], edges[-1])
    labels = [f"{value:,.0f}" for value in values]
    room = DIGIT_INCHES * (max(map(len, labels)) + 1 if name == "x" else 2)
    closest = {every: np.diff(at[::every]).min(initial=np.inf) for every in range(1, len(values) + 1)}
    every = next(every for every, gap in closest.items() if gap * inches >= room)
    getattr(axis, f"set_{name}ticks")(values[::every], labels[::every])
    getattr(axis, f"set_{name}ticks")(values, minor=True)
    getattr(axis, f"set_{name}label")(label + ("" if is_to_scale(values) else " (not to scale)"))


def log_ticks(
    axis: XAxis | YAxis, limits: tuple[float, float], inches: float, choices: Sequence[Sequence[int]], line_digits: int
) -> None:
    """Give a logarithmic axis plain numbers as ticks: multiples of the powers of ten, the first choice that fits.

    `inches` is the length of the axis, `line_digits` the distance of two labels on a y axis, in widths of a digit.
    """
    low, high = np.log10(limits)
    powers = 10.0 ** np.arange(np.floor(low), np.ceil(high))
    for multiples in choices:
        ticks = np.outer(powers, multiples).ravel()
        ticks = ticks[(ticks >= limits[0]) & (ticks <= limits[1])]
        labels = [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks]
        longest = max(map(len, labels), default=0)
        room = DIGIT_INCHES * (longest + 1 if axis.axis_name == "x" else line_digits)
        if np.diff(np.log10(ticks)).min(initial=np.inf) / (high - low) * inches >= room:
            break
    axis.set_ticks(ticks, labels)


def cell_edges(values: ArrayLike) -> np.ndarray:
    """Return the n + 1 borders of n ascending values: midpoints, and as far out at the ends as in."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def is_to_scale(values: Sequence[float] | np.ndarray) -> bool:
    """Return whether cells drawn to scale are all wide enough to be seen."""
    edges = cell_edges(np.sort(values))
    return np.diff(edges).min() >= 0.5 * (edges[-1] - edges[0]) / len(values)
