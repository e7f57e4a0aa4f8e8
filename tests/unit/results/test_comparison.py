"""The comparison of methods: which points are kept, at which size all are compared, and the lines over seeds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodsubnet.results.comparison import (
    MOST_POINTS,
    NAMES,
    at_equal_size,
    common_size,
    loss_by_size,
    methods_table,
    telling_points,
)


def trace(sizes, losses=None, passes=None):
    """A trace; its losses and passes count its points where they are not given."""
    count = np.arange(1.0, len(sizes) + 1)
    return {
        "sizes": np.asarray(sizes),
        "losses": count if losses is None else np.asarray(losses, float),
        "passes": count if passes is None else np.asarray(passes, float),
    }


def table_of(traces: dict[tuple[str, int], dict], **names) -> pd.DataFrame:
    base = {"experiment": "e", "network": "n", "width": 500, "examples": 40, "iteration": 10, **names}
    return methods_table(({**base, "method": method, "seed": seed}, each) for (method, seed), each in traces.items())


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=700), st.integers(2, 50))
def test_points_kept_are_few_in_order_and_end_with_the_last(sizes, most):
    points = telling_points(np.array(sizes), most)
    assert len(points) <= most
    assert (np.diff(points) > 0).all()
    assert points[-1] == len(sizes) - 1
    if len(sizes) <= most:
        assert points.tolist() == list(range(len(sizes)))


def test_a_long_elimination_is_kept_evenly_in_the_logarithm_of_the_size():
    sizes = np.arange(20_000, 99, -1)
    kept = sizes[telling_points(sizes)]
    assert 150 < len(kept) <= MOST_POINTS
    assert {kept[0], kept[-1]} == {20_000, 100}
    steps = np.diff(np.log(kept))
    assert steps.min() > 2.2 * np.log(100 / 20_000) / MOST_POINTS


def test_where_the_size_rests_the_last_point_stands():
    sizes = np.repeat([1, 2, 3], 100)
    assert telling_points(sizes, 50).tolist() == [99, 199, 299]


def test_the_table_is_tidy():
    table = table_of({("greedy", 0): trace([1, 1, 2], [0.5, 0.4, 0.3], [2, 3, 4])})
    assert list(table.columns) == [*NAMES, "point", "size", "loss", "passes"]
    assert table["point"].tolist() == [1, 2, 3]
    assert table["size"].tolist() == [1, 1, 2]
    assert table["loss"].tolist() == [0.5, 0.4, 0.3]
    assert table["passes"].tolist() == [2, 3, 4]
    assert set(table["method"]) == {"greedy"}


ADDS, LONGER = trace([1, 2, 3, 3, 4]), trace(range(1, 31))


@pytest.mark.parametrize(
    ("traces", "size"),
    [
        ({("a", 0): ADDS, ("b", 0): LONGER}, 4),
        ({("a", 0): ADDS, ("a", 1): trace([1, 2, 3]), ("b", 0): LONGER, ("b", 1): LONGER}, 3),
        ({("b", 0): LONGER, ("removes", 0): trace(range(500, 9, -1))}, 30),
        ({("a", 0): ADDS, ("removes", 0): trace(range(500, 9, -1))}, 10),
        ({("removes", 0): trace([500, 70, 10]), ("other", 0): trace([500, 200, 20])}, 20),
    ],
)
def test_the_common_size(traces, size):
    assert common_size(table_of(traces)) == size


def test_at_equal_size_each_method_stands_at_that_size_or_the_next_below():
    traces = {
        ("a", 0): trace([1, 2, 3, 3, 4]),
        ("back", 0): trace(range(30, 2, -1)),
        ("rounds", 0): trace([30, 12, 3]),
        ("waves", 0): trace([1, 2, 1, 2, 1]),
    }
    found = at_equal_size(table_of(traces)).set_index("method")
    assert (found["common_size"] == 3).all()
    assert found["size"].to_dict() == {"a": 3, "back": 3, "rounds": 3, "waves": 2}
    # The last point of that size; losses and passes count the points.
    assert found["passes"].to_dict() == {"a": 4, "back": 28, "rounds": 3, "waves": 4}
    assert found["loss"].to_dict() == found["passes"].to_dict()


def test_cells_are_compared_each_for_itself_and_networks_need_no_width():
    parts = [
        table_of({("a", 0): ADDS, ("b", 0): LONGER}, iteration=0),
        table_of({("a", 0): trace([1, 2]), ("b", 0): LONGER}, iteration=10),
        table_of({("a", 0): ADDS, ("b", 0): LONGER}, network="other", width=None),
    ]
    found = at_equal_size(pd.concat(parts))
    assert len(found) == 6
    assert found.set_index(["network", "iteration", "method"])["common_size"].to_dict() == {
        **{("n", 0, method): 4 for method in "ab"},
        **{("n", 10, method): 2 for method in "ab"},
        **{("other", 10, method): 4 for method in "ab"},
    }


def test_lines_are_means_over_seeds_as_far_as_all_reach():
    traces = {
        ("a", 0): trace([1, 1, 2, 4], [9.0, 8.0, 4.0, 1.0]),
        ("a", 1): trace([1, 4, 8], [2.0, 0.5, 0.1]),
    }
    found = loss_by_size(table_of(traces))
    assert found["size"].tolist() == [1, 2, 4]
    # At 2 neurons the second seed lies between 2 and 0.5, half-way in both logarithms.
    np.testing.assert_allclose(found["mean"], [(8 + 2) / 2, (4 + 1) / 2, (1 + 0.5) / 2])
    np.testing.assert_allclose(found["min"], [2, 1, 0.5])
    np.testing.assert_allclose(found["max"], [8, 4, 1])
