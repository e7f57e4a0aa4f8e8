"""Figure 4's table: the time that pruning takes with one worker and with several."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, cast

import pandas as pd

COLUMNS = (
    *("what", "channels", "device", "workers", "crowded", "repetition"),
    *("seconds", "communication", "waiting", "messages", "bytes", "chosen"),
)


class _Measured(TypedDict):
    """What one job measured; `places` are cores or accelerators."""

    device: str
    places: int
    rows: list[dict[str, object]]


def pruning_times_table(measured: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Every measurement: one row per layer (or the two-layer network), number of workers and repetition.

    measured: of `stages.<kind>.pruning_times`, with "device". Columns: `communication` and `waiting` (for the others)
    are means over the workers, in seconds; messages and bytes are received by all workers; chosen is a digest of the
    neurons, or channels, in the order chosen; device is "cpu" or "accelerator"; crowded: more workers than cores, or
    than accelerators.
    """
    tables = [
        pd.DataFrame(each["rows"]).assign(
            device="cpu" if each["device"] == "cpu" else "accelerator",
            crowded=cast(
                Callable[[pd.DataFrame], pd.Series], lambda table, places=each["places"]: table["workers"] > places
            ),
        )
        for each in cast(Sequence[_Measured], measured)
    ]
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]
