"""Pruning methods side by side: from the trace of every subnetwork to a tidy table, and what it says at equal size."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

NAMES = ["experiment", "network", "width", "examples", "seed", "iteration", "method"]
CELL = ["network", "examples", "iteration"]
# Points of a trace that are kept.
MOST_POINTS = 200


def methods_table(traces: Iterable[tuple[Mapping[str, object], Mapping[str, np.ndarray]]]) -> pd.DataFrame:
    """A row for each point of each trace: NAMES, `point` (from 1), `size`, `loss` and `passes`.

    traces: for each subnetwork its names (NAMES) and its `sizes`, `losses` and `passes`, as `selection.trace` says. Of
    a long trace the points of `telling_points` are kept.
    """
    tables = []
    for names, trace in traces:
        points = telling_points(trace["sizes"])
        values = {"point": points + 1, "size": trace["sizes"][points], "loss": trace["losses"][points]}
        values["passes"] = trace["passes"][points]
        tables.append(pd.DataFrame({**{name: names[name] for name in NAMES}, **values}))
    return pd.concat(tables, ignore_index=True)


def telling_points(sizes: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Indices of at most `most` points of a trace, the last among them; all where there are no more.

    They divide the path of the logarithm of the size evenly. Where the size stays the same, the last such point is
    kept.
    """
    if len(sizes) <= most:
        return np.arange(len(sizes))
    way = np.r_[0.0, np.cumsum(np.abs(np.diff(np.log(sizes))))]
    return np.unique(np.searchsorted(way, np.linspace(0, way[-1], most), side="right") - 1)


def common_size(rows: pd.DataFrame) -> int:
    """The size at which all methods are compared: that which each of them reaches, or as close to it as they come.

    A method that adds neurons has subnetworks of all sizes up to its last, one that removes them from its last up. So
    it is the smallest last size of those that add; or, where that is larger, the largest last size of those that
    remove. rows: of `methods_table`, of one network, number of examples and iteration, with all methods and seeds.
    """
    traces = rows.sort_values("point").groupby(["method", "seed"])["size"].agg(["first", "last", "min", "max"])
    removing = traces["first"] > traces["last"]
    ends = [*traces["min"][removing].nlargest(1), *traces["max"][~removing].nsmallest(1)]
    return int(max(ends))


def at_equal_size(table: pd.DataFrame) -> pd.DataFrame:
    """For each subnetwork the point of its trace at `common_size` neurons, or at the most below that it has.

    Where several points have this size, the last. Returns a row for each of NAMES, ordered by them, with `common_size`,
    and `size`, `loss` and `passes` of the point. table: as `methods_table` returns it.
    """
    parts = []
    for _, rows in table.groupby(CELL, sort=False):
        size = common_size(rows)
        within = rows[rows["size"] <= size].sort_values(["size", "point"], ascending=False)
        parts.append(within.drop_duplicates(NAMES).assign(common_size=size))
    points = pd.concat(parts, ignore_index=True).sort_values(NAMES, ignore_index=True)
    return points[[*NAMES, "common_size", "size", "loss", "passes"]]


def loss_by_size(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and range over seeds of the loss, by size.

    At a size that a trace has several times, its last loss counts; between two sizes of a trace the logarithm of the
    loss is linear in the logarithm of the size. Returns `size`, `mean`, `min`, `max` at every size that a seed has, as
    far as all seeds reach. rows: of `methods_table`, of one network, number of examples, iteration and method; losses
    above 0.
    """
    rows = rows.sort_values("point")
    traces = [part.groupby("size")["loss"].last() for _, part in rows.groupby("seed")]
    first, last = max(part.index[0] for part in traces), min(part.index[-1] for part in traces)
    sizes = np.unique(np.concatenate([part.index for part in traces]))
    sizes = sizes[(sizes >= first) & (sizes <= last)]
    logs = [np.interp(np.log(sizes), np.log(part.index), np.log(part)) for part in traces]
    losses = np.exp(logs)
    return pd.DataFrame({"size": sizes, "mean": losses.mean(0), "min": losses.min(0), "max": losses.max(0)})
