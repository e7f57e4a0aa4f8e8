"""Figure 4: who waited for whom, the table, and what the figure shows."""

import numpy as np
import pytest
from figure_parts import legend_of, lines_of
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.container import BarContainer

from goodsubnet.plots.pruning_times import figure4
from goodsubnet.results.pruning_times import COLUMNS, pruning_times_table
from goodsubnet.runtime.group import ALONE
from goodsubnet.runtime.workers import turns

FAST = {"dpi": 72}


def measured(what: str, device: str = "cpu", places: int = 2) -> dict:
    """Two repetitions of one, two and four workers: 8, 5 and 6 seconds and half a second more."""
    rows = [
        {
            **{"what": what, "channels": 64, "workers": workers, "repetition": repetition},
            **{"seconds": seconds + repetition / 2, "communication": 0.25 * (workers - 1), "waiting": 0.125},
            **{"messages": 10 * workers, "bytes": 1000, "chosen": "a1"},
        }
        for workers, seconds in ((1, 8.0), (2, 5.0), (4, 6.0))
        for repetition in (0, 1)
    ]
    return {"rows": rows, "places": places, "device": device}


def test_waiting_is_what_passes_until_the_last_is_there():
    # In the first exchange worker 0 waits 2 s, in the second worker 1 waits 1 s; both then talk for half a second.
    calls = np.array([[[0.0, 2.5], [5.0, 5.5]], [[2.0, 2.5], [4.0, 5.5]]])
    assert turns._split(calls) == (1.0, 1.5)


def test_an_owner_that_left_before_the_others_came_did_not_wait():
    # It sends and goes on; the other one comes later.
    calls = np.array([[[0.0, 0.25]], [[4.0, 4.5]]])
    assert turns._split(calls) == (0.25, 0.125)


@given(st.lists(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), min_size=3, max_size=3), min_size=1, max_size=4))
def test_talking_and_waiting_are_all_that_was_spent(spans):
    calls = np.array([[(begin, begin + length) for begin, length in each] for each in spans])
    talking, waiting = turns._split(calls)
    assert talking >= -1e-9
    assert waiting >= 0
    assert talking + waiting == pytest.approx(np.diff(calls, axis=2).sum() / len(calls), abs=1e-9)


def test_one_worker_is_timed_and_exchanges_nothing():
    done = []
    rows = turns.in_turns(ALONE, [1], 3, done.append)
    # One more, which does not count.
    assert done == [ALONE] * 4
    assert [row["repetition"] for row in rows] == [1, 2, 3]
    assert all(row["communication"] == row["waiting"] == row["bytes"] == 0 for row in rows)
    assert all(row["seconds"] >= 0 for row in rows)


def test_what_was_chosen_has_one_digest_whoever_chose_it_and_another_in_another_order():
    choices = iter([[3, 1, 1], [3, 1, 1], [1, 3, 1], np.array([3, 1, 1], np.int32)])
    rows = turns.in_turns(ALONE, [1], 3, lambda workers: np.array(next(choices)))
    first, other, again = (row["chosen"] for row in rows)
    assert first == again != other
    assert turns.in_turns(ALONE, [1], 1, lambda workers: None)[0]["chosen"] == ""


def test_the_table_marks_more_workers_than_cores():
    table = pruning_times_table([measured("layer1.1.conv1"), measured("two-layer network", places=4)])
    assert list(table.columns) == list(COLUMNS)
    crowded = table.groupby(["what", "workers"])["crowded"].all()
    assert crowded.to_dict() == {
        **{("layer1.1.conv1", 1): False, ("layer1.1.conv1", 2): False, ("layer1.1.conv1", 4): True},
        **{("two-layer network", workers): False for workers in (1, 2, 4)},
    }


def test_the_figure_shows_medians_ranges_the_ideal_and_what_is_crowded():
    figure = figure4(pruning_times_table([measured("layer1.1.conv1"), measured("two-layer network", places=4)]), FAST)
    first, second = figure.axes
    bars = [bar for container in first.containers if isinstance(container, BarContainer) for bar in container]
    tops = sorted({round(bar.get_y() + bar.get_height(), 6) for bar in bars if bar.get_gid() == "communication"})
    assert tops == [5.25, 6.25, 8.25]
    assert {round(bar.get_height(), 6) for bar in bars if bar.get_gid() == "communication"} == {0.125, 0.375, 0.875}
    (ideal,) = lines_of(first, "ideal")
    np.testing.assert_allclose(ideal.get_ydata(), [8.25, 4.125, 2.0625])
    assert [bool(bar.get_hatch()) for bar in bars if bar.get_gid() == "selection"] == [False, False, True]
    assert not any(bar.get_hatch() for container in second.containers for bar in container if hasattr(bar, "get_hatch"))
    assert {text.get_text() for text in first.texts} == {"1.57x", "1.32x"}
    assert {"more workers than cores", "ideal: time of one / workers"} <= set(legend_of(figure))
    assert figure.get_suptitle() == "Pruning time, median and range of 2; on CPU cores"
    assert second.get_title() == "two-layer network\n64 neurons"


def test_accelerators_and_a_single_repetition():
    table = pruning_times_table([measured("layer1.1.conv1", "NVIDIA")])
    figure = figure4(table[table["repetition"] == 0], FAST)
    assert figure.get_suptitle() == "Pruning time; on accelerators"
    assert "more workers than accelerators" in legend_of(figure)


def test_without_a_single_worker_there_is_no_ideal():
    table = pruning_times_table([measured("layer1.1.conv1")])
    figure = figure4(table[table["workers"] > 1], FAST)
    assert not lines_of(figure.axes[0], "ideal")
    assert not any("ideal" in text for text in legend_of(figure))
