"""The figure of all methods: what it draws equals the table."""

import numpy as np
import pandas as pd
import pytest
from figure_parts import legend_of, lines_of

from goodsubnet.errors import UserError
from goodsubnet.plots.canvas import render
from goodsubnet.plots.methods import methods_figure
from goodsubnet.results.comparison import at_equal_size, loss_by_size, methods_table

FAST = {"dpi": 40}
METHODS = ["greedy", "backward", "random"]
pytestmark = pytest.mark.filterwarnings("error")


def table_of(widths=(50, 80, 200), iterations=(0, 10, 100), seeds=2, methods=METHODS) -> pd.DataFrame:
    rng, traces = np.random.default_rng(0), []
    for width, iteration, seed, examples in np.array(np.meshgrid(widths, iterations, range(seeds), (10, 30))).T.reshape(
        -1, 4
    ):
        for method in methods:
            sizes = np.arange(width, 5, -1) if method == "backward" else np.arange(1, 20)
            names = {"experiment": "e", "network": f"n{width}", "width": width, "method": method}
            names |= {"examples": examples, "seed": seed, "iteration": iteration}
            losses = (0.7 + rng.random(len(sizes)) / 10) / sizes**0.5
            passes = np.arange(1, len(sizes) + 1) * 1.5
            traces.append((names, {"sizes": sizes, "losses": losses, "passes": passes}))
    return methods_table(traces)


@pytest.fixture(scope="module")
def table():
    return table_of()


@pytest.fixture(scope="module")
def figure(table):
    return methods_figure(table, FAST, METHODS)


def test_rows_are_the_narrowest_and_widest_network_at_the_first_and_last_checkpoint(figure):
    titles = [axis.get_title() for axis in figure.axes[::2]]
    assert titles == [f"width N = {width}, iteration {iteration}" for width in (50, 200) for iteration in (0, 100)]
    assert "30 training examples, mean over 2 seeds (2 of 3 networks)" in figure.get_suptitle()
    assert [axis.get_title() for axis in figure.axes[1::2]] == ["at 19 neurons"] * 4


def test_seeds_that_cost_the_same_to_the_last_bit(table):
    # The mean of three times 0.1 is larger than 0.1.
    methods_figure(table_of(seeds=3).assign(passes=0.1), FAST, METHODS)


def test_lines_are_the_means_of_the_largest_size_and_marks_those_at_equal_size(table, figure):
    part = table[table["examples"] == 30]
    equal = at_equal_size(part)
    for axis, marks, (width, iteration) in zip(
        figure.axes[::2], figure.axes[1::2], [(50, 0), (50, 100), (200, 0), (200, 100)], strict=True
    ):
        for method in METHODS:
            here = part.query(f"width == {width} and iteration == {iteration} and method == '{method}'")
            (line,) = lines_of(axis, method)
            means = loss_by_size(here)
            np.testing.assert_array_equal(line.get_xdata(), means["size"])
            np.testing.assert_array_equal(line.get_ydata(), means["mean"])
            assert (line.get_linestyle() == "--") == (method == "backward")
            (mark,) = lines_of(marks, method)
            at = equal.query(f"width == {width} and iteration == {iteration} and method == '{method}'")
            assert mark.get_xdata()[0] == pytest.approx(at["passes"].mean())
            assert mark.get_ydata()[0] == pytest.approx(at["loss"].mean())
        (common,) = lines_of(axis, "common size")
        assert list(common.get_xdata()) == [19, 19]
        assert {axis.get_xscale(), axis.get_yscale(), marks.get_xscale(), marks.get_yscale()} == {"log"}


def test_methods_differ_without_colour_and_the_legend_names_them(figure):
    looks = [
        (line.get_linestyle(), line.get_marker()) for line in figure.axes[0].get_lines() if line.get_gid() in METHODS
    ]
    assert len(set(looks)) == 3
    assert legend_of(figure) == [*METHODS, "removes neurons", "size of comparison", "lowest to highest seed"]


def test_one_network_checkpoint_and_seed_and_a_loss_of_zero():
    table = table_of(widths=(50,), iterations=(5,), seeds=1)
    table.loc[3, "loss"] = 0.0
    figure = methods_figure(table, FAST, METHODS)
    assert len(figure.axes) == 2
    assert "one seed" in figure.get_suptitle()
    assert "lowest to highest seed" not in legend_of(figure)


def test_where_a_method_ends_with_fewer_the_title_says_so():
    table = table_of(widths=(50,), iterations=(5,))
    table = table[(table["method"] != "random") | (table["size"] < 4)]
    # The elimination ends at 6 neurons, so all are compared there.
    assert methods_figure(table, FAST, METHODS).axes[1].get_title() == "at 6 neurons, or where a method ends"


def test_more_methods_than_colours_stay_different():
    names = [f"m{place}" for place in range(10)]
    figure = methods_figure(table_of(widths=(50,), iterations=(5,), methods=names), FAST, names)
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].get_lines() if line.get_gid() in names}
    assert len(looks) == 10


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_the_same_table_gives_the_same_bytes(kind):
    table = table_of(widths=(50,), iterations=(5,))
    first, again = (render(methods_figure(table.sample(frac=1, random_state=s), FAST, METHODS), kind) for s in (0, 1))
    assert first == again


def test_what_is_wrong_is_said(table):
    with pytest.raises(UserError, match="no column 'passes'"):
        methods_figure(table.drop(columns="passes"), FAST, METHODS)
    with pytest.raises(UserError, match="no method 'lucky'"):
        methods_figure(table, FAST, [*METHODS, "lucky"])
    with pytest.raises(UserError, match="the loss is nan"):
        methods_figure(table.assign(loss=np.nan), FAST, METHODS)
    with pytest.raises(UserError, match="one experiment"):
        methods_figure(pd.concat([table, table.assign(experiment="f")]), FAST, METHODS)
