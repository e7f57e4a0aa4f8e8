"""Figures of the theory: what they draw equals the tables, whatever they hold, and always in the same bytes."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from figure_parts import legend_of, lines_of
from hypothesis import given
from hypothesis import strategies as st

from goodsubnet.errors import UserError
from goodsubnet.plots.bounds import LOSSES, bounds, telling_checkpoints, terms
from goodsubnet.plots.canvas import render
from goodsubnet.theory.bounds import lemma1, variance_form, variance_recursion

FAST = {"dpi": 40}
CHECKPOINTS = (0, 10, 20, 50, 100, 200, 500, 1000, 2000)
A_LOSS = st.sampled_from([0.0, 0.1, 0.5]) | st.floats(0, 10)
MOVEMENTS = ["largest_movement", "mean_movement"]
pytestmark = pytest.mark.filterwarnings("error")


def tables(
    widths=(100, 400),
    sizes=(100, 1000),
    seeds=2,
    checkpoints=CHECKPOINTS,
    steps=200,
    alike=False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of bounds and terms of networks that learn; all their neurons the same, if `alike`."""
    generator = np.random.default_rng(0)
    k = np.arange(1, steps + 1)
    rows, parts = [], []
    for width, size, seed, iteration in itertools.product(widths, sizes, range(seeds), checkpoints):
        part = checkpoints.index(iteration) / len(checkpoints)
        noise = 1 + 0.05 * generator.uniform()
        dense = 0.5 * 0.04**part * noise
        squared_diameter, spread = (0, 0) if alike else (13 * 4.6**part * noise, 0.7 * 2**part * noise)
        first = dense if alike else max(dense, 0.45)
        loss = {
            "lemma1": lemma1(first, dense, squared_diameter, steps, "squared"),
            "variance_form": variance_form(dense, spread, steps, "squared"),
            "measured": dense + (first - dense) / k,
            "dense_loss": dense,
            "trivial_loss": 0.5 - seed / 1000,
        }
        key = {"experiment": "e", "network": f"n{width}", "width": width, "method": "greedy"}
        key |= {"examples": size, "seed": seed, "iteration": iteration}
        parts.append(pd.DataFrame({**key, "step": k, **loss}))
        terms_here = {"first_loss": first, "squared_diameter": squared_diameter, "variance": spread}
        movement = part * 40 / width * noise
        terms_here |= {"largest_movement": movement, "mean_movement": movement / 5, "initial_length": 8.0 + seed}
        rows.append({**key, "trivial_loss": loss["trivial_loss"], **terms_here})
    return pd.concat(parts, ignore_index=True), pd.DataFrame(rows)


@pytest.fixture(scope="module")
def pair():
    """Return the tables of two networks."""
    return tables()


@pytest.fixture(scope="module")
def both(pair):
    """Return the two figures of `pair`."""
    return bounds(pair[0], FAST), terms(pair[1], FAST)


def titles_of(figure):
    """Return the titles of the columns and the first lines of the labels of the rows."""
    columns = [axis.get_title() for axis in figure.axes if axis.get_title()]
    rows = [axis.get_ylabel().split("\n")[0] for axis in figure.axes if axis.get_ylabel()]
    return columns, rows


def test_bounds_show_the_losses_of_the_largest_size_and_the_first_seed(pair, both):
    figure = both[0]
    columns, rows = titles_of(figure)
    assert rows == ["width N = 100", "width N = 400"]
    assert columns[0] == "iteration 0"
    assert columns[-1] == "iteration 2,000"
    assert len(columns) == 4
    assert "greedy selection" in figure.get_suptitle()
    assert "1,000 training examples, seed 0" in figure.get_suptitle()
    iterations = [int(title.split()[1].replace(",", "")) for title in columns]
    for axis, (width, iteration) in zip(figure.axes, itertools.product((100, 400), iterations), strict=True):
        part = pair[0].query(f"width == {width} and examples == 1000 and seed == 0 and iteration == {iteration}")
        for column in ("measured", "lemma1", "variance_form"):
            (line,) = lines_of(axis, column)
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 201))
            np.testing.assert_array_equal(line.get_ydata(), part[column])
        for column in ("dense_loss", "trivial_loss"):
            (line,) = lines_of(axis, column)
            assert list(line.get_ydata()) == [part[column].iloc[0]] * 2
        (shade,) = axis.patches
        assert shade.get_y() == part["trivial_loss"].iloc[0]
        assert shade.get_y() + shade.get_height() == axis.get_ylim()[1]


def test_bounds_share_logarithmic_axes_that_hold_every_loss(both):
    assert len({axis.get_ylim() for axis in both[0].axes}) == 1
    for axis in both[0].axes:
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        low, high = axis.get_ylim()
        drawn = np.concatenate([np.asarray(line.get_ydata()) for line in axis.get_lines()])
        assert low < drawn.min()
        assert drawn.max() < high
        assert axis.get_xlim()[0] < 1
        assert axis.get_xlim()[1] > 200


def test_lines_of_bounds_differ_without_colour_and_the_legend_names_them(both):
    looks = {(line.get_linestyle(), line.get_marker(), line.get_linewidth()) for line in both[0].axes[0].get_lines()}
    assert len(looks) == len(LOSSES)
    assert len(legend_of(both[0])) == len(LOSSES) + 1


def test_checkpoints_between_are_where_the_dense_loss_has_gone_a_third_and_two_thirds_of_its_way():
    losses = np.exp(-np.array([0, 0.1, 0.2, 3.1, 3.2, 5.9, 8.8, 9.0]))
    rows = pd.DataFrame({"network": "n", "iteration": range(0, 80, 10), "dense_loss": losses})
    assert telling_checkpoints(rows, 4) == [0, 30, 50, 70]
    assert telling_checkpoints(rows, 2) == [0, 70]
    assert telling_checkpoints(rows.assign(dense_loss=0.3), 4) == [0, 20, 50, 70]


def test_checkpoints_between_are_never_chosen_twice():
    for falls, wanted in (
        ([0.0, 0, 0, 1, 1, 1], [0, 1, 3, 5]),
        ([0.0, 1, 1, 1, 1, 1], [0, 1, 2, 5]),
        ([0.0, 0, 0, 0, 0.4, 1], [0, 3, 4, 5]),
    ):
        rows = pd.DataFrame({"network": "n", "iteration": range(6), "dense_loss": np.exp(-np.array(falls))})
        assert telling_checkpoints(rows, 4) == wanted


def test_the_way_of_the_loss_is_the_mean_of_the_networks():
    falls = {"a": [0, 1.2, 1.2, 2.2, 2.2], "b": [0, 0, 1, 2, 2]}
    rows = pd.concat(
        pd.DataFrame({"network": name, "iteration": range(5), "dense_loss": np.exp(-np.array(fall))})
        for name, fall in falls.items()
    )
    # The way is 0, 0.6, 1.1, 2.1, 2.1, of which 1.1 is nearest to half; by a alone, or the larger changes, 1 is.
    assert telling_checkpoints(rows, 3) == [0, 2, 4]


@given(st.lists(st.tuples(A_LOSS, A_LOSS), min_size=1, max_size=30), st.integers(2, 6))
def test_chosen_checkpoints_rise_from_the_first_to_the_last(losses, most):
    iterations = [7 * place for place in range(len(losses))]
    networks = [
        pd.DataFrame({"network": name, "iteration": iterations, "dense_loss": values})
        for name, values in zip("ab", zip(*losses, strict=True), strict=True)
    ]
    rows = pd.concat(networks)
    chosen = telling_checkpoints(rows, most)
    assert len(chosen) == min(most, len(losses))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(iterations)
    assert {chosen[0], chosen[-1]} == {iterations[0], iterations[-1]}


def test_only_checkpoints_that_all_networks_have_are_chosen():
    small = tables(widths=(100,), checkpoints=(0, 10, 20, 40), steps=3)[0]
    wide = tables(widths=(400,), checkpoints=(0, 20, 40, 80), steps=3)[0]
    assert telling_checkpoints(pd.concat([small, wide]), 4) == [0, 20, 40]
    with pytest.raises(UserError, match="no checkpoint is in the table of bounds for every network"):
        bounds(pd.concat([small, wide.assign(iteration=wide["iteration"] + 1)]), FAST)


def test_twelve_networks_and_fifty_checkpoints_are_thinned_and_the_title_says_so():
    table, measured = tables(
        tuple(range(100, 1300, 100)), sizes=(1000,), seeds=1, checkpoints=tuple(range(0, 500, 10)), steps=5
    )
    shown = [f"width N = {width}" for width in ("100", "500", "800", "1,200")]
    figure = bounds(table, {**FAST, "width_inches": 4})
    assert titles_of(figure) == (["iteration 0", "iteration 490"], shown)
    assert figure.get_suptitle().endswith("(4 of 12 networks)")
    figure = terms(measured, FAST)
    assert titles_of(figure)[0] == shown
    assert figure.get_suptitle().endswith("(4 of 12 networks)")
    assert_texts_fit(figure)


def test_terms_show_mean_and_spread_over_seeds(pair, both):
    figure = both[1]
    assert titles_of(figure)[0] == ["width N = 100", "width N = 400"]
    rows = (("squared_diameter", "variance"), ("first_loss",), MOVEMENTS)
    for axis, (columns, width) in zip(figure.axes, itertools.product(rows, (100, 400)), strict=True):
        bands = iter(axis.collections)
        for size, column in itertools.product((100, 1000), columns):
            cells = pair[1].query(f"width == {width} and examples == {size}")
            values = np.array([cells.loc[cells["iteration"] == t, column] for t in CHECKPOINTS])
            line = lines_of(axis, column)[(100, 1000).index(size)]
            np.testing.assert_array_equal(line.get_xdata(), CHECKPOINTS)
            np.testing.assert_allclose(line.get_ydata(), values.mean(axis=1), rtol=1e-14)
            outline = next(bands).get_paths()[0].vertices
            for t, low, high in zip(CHECKPOINTS, values.min(axis=1), values.max(axis=1), strict=True):
                ends = outline[outline[:, 0] == t, 1]
                assert (ends.min(), ends.max()) == (low, high)


def test_terms_have_the_trivial_loss_beside_that_of_one_neuron(both):
    for axis in both[1].axes[2:4]:
        for line in lines_of(axis, "trivial_loss"):
            assert list(line.get_ydata()) == [0.4995, 0.4995]  # mean of 0.5 and 0.499


def test_movements_have_the_initial_length_beside_them(both):
    for axis in both[1].axes[4:6]:
        for line in lines_of(axis, "initial_length"):
            assert list(line.get_ydata()) == [8.5, 8.5]  # mean of 8 and 9


def test_terms_have_one_colour_a_size_in_every_panel(both):
    colours = {
        tuple(tuple(line.get_color()) for line in lines_of(axis, axis.get_lines()[0].get_gid()))
        for axis in both[1].axes
    }
    ((small, large),) = colours
    assert small != large
    assert {"100", "1,000", "lowest to highest seed"} < set(legend_of(both[1]))


def test_axes_of_terms_are_logarithmic_where_values_span_a_decade_and_show_zero(both):
    scales = [axis.get_yscale() for axis in both[1].axes[::2]]
    assert scales == ["log", "linear", "symlog"]
    assert both[1].axes[2].get_ylim()[0] == both[1].axes[4].get_ylim()[0] == 0
    # Everything but the initialisation, where nothing has moved, lies on the logarithmic part.
    movement = both[1].axes[4]
    smallest = min(np.min(line.get_ydata()[1:]) for line in movement.get_lines())
    assert movement.yaxis.get_transform().linthresh <= smallest


def test_terms_of_one_seed_claim_no_spread():
    figure = terms(tables(widths=(100,), seeds=1)[1], FAST)
    assert "lowest to highest seed" not in legend_of(figure)
    assert "one seed" in figure.get_suptitle()


@pytest.mark.parametrize("steps", [1, 12])
def test_one_checkpoint_of_one_network_and_one_seed(steps):
    table, measured = tables(widths=(100,), sizes=(100,), seeds=1, checkpoints=(500,), steps=steps)
    figure = bounds(table, FAST)
    (axis,) = figure.axes
    assert axis.get_title() == "iteration 500"
    np.testing.assert_array_equal(lines_of(axis, "measured")[0].get_ydata(), table["measured"])
    assert render(figure, "png").startswith(b"\x89PNG")
    figure = terms(measured, FAST)
    assert len(figure.axes) == 3
    for line in figure.axes[0].get_lines():
        assert line.get_marker() != "None"  # a line through one point is not seen
    assert render(figure, "png").startswith(b"\x89PNG")


def test_neurons_that_are_all_alike_can_be_drawn():
    table, measured = tables(widths=(100,), seeds=1, checkpoints=(0, 10), steps=20, alike=True)
    for losses in (table, table[table["iteration"] == 0].assign(**dict.fromkeys(LOSSES, 0.0))):
        figure = bounds(losses, FAST)
        assert np.isfinite(figure.axes[0].get_ylim()).all()
        assert render(figure, "pdf").startswith(b"%PDF")
    figure = terms(measured, FAST)
    for line in lines_of(figure.axes[0], "squared_diameter") + lines_of(figure.axes[0], "variance"):
        assert not np.any(line.get_ydata())
    assert figure.axes[0].get_ylim() == (0, 1)
    assert render(figure, "pdf").startswith(b"%PDF")


def test_a_diameter_that_grows_from_zero_keeps_its_first_point():
    measured = tables(widths=(100,), seeds=1)[1]
    measured.loc[measured["iteration"] == 0, ["squared_diameter", "variance"]] = 0
    axis = terms(measured, FAST).axes[0]
    assert axis.get_yscale() == "symlog"
    inside = axis.transAxes.inverted().transform(axis.transData.transform([(0, 0), (2000, 13)]))
    assert inside[0, 1] == pytest.approx(0)
    assert 0.5 < inside[1, 1] < 1


def test_the_bound_that_only_the_squared_loss_has_is_drawn_where_it_is_given():
    table = tables(widths=(100,), sizes=(100,), seeds=1, checkpoints=(500,), steps=12)[0]
    logistic = bounds(table.assign(variance_recursion=math.nan), FAST)
    assert render(logistic, "png") == render(bounds(table, FAST), "png")
    dense, spread = table["dense_loss"].iloc[0], 2 * (table["variance_form"] - table["dense_loss"]).iloc[0]
    squared = bounds(table.assign(variance_recursion=variance_recursion(dense, spread, 12)), FAST)
    (line,) = lines_of(squared.axes[0], "variance_recursion")
    np.testing.assert_array_equal(line.get_ydata(), variance_recursion(dense, spread, 12))
    assert len(legend_of(squared)) == len(legend_of(logistic)) + 1
    table.loc[0, "variance_recursion"] = 1.0
    with pytest.raises(UserError, match="iteration 500: variance_recursion is nan in the table of bounds"):
        bounds(table, FAST)


def test_networks_without_a_width_have_their_name():
    table, measured = (each.assign(width=math.nan) for each in tables(checkpoints=(0, 10), steps=5))
    assert titles_of(bounds(table, FAST))[1] == titles_of(terms(measured, FAST))[0] == ["n100", "n400"]


def test_the_same_table_in_any_order_gives_the_same_bytes():
    small = tables(widths=(100,), checkpoints=(0,), steps=5)
    for draw, table in zip((bounds, terms), small, strict=True):
        once = render(draw(table, FAST), "png")
        shuffled = table.sample(frac=1, random_state=0)
        assert render(draw(shuffled, FAST), "png") == once


@pytest.mark.parametrize("inches", [4, 7])
def test_texts_do_not_overlap_and_lie_within_the_figure(inches):
    # With fewer dots per inch, small letters are drawn wider than they are.
    style = {"dpi": 100, "width_inches": inches}
    table, measured = tables(widths=(5000, 20000), sizes=(50_000,), seeds=1, steps=50)
    assert_texts_fit(bounds(table, style))
    assert_texts_fit(terms(measured, style))


def assert_texts_fit(figure):
    """Fail where the titles, or the labels of an axis, touch each other, or where a text is cut."""
    figure.canvas.draw()
    titles = [axis.title.get_window_extent() for axis in figure.axes if axis.get_title()]
    labels = [axis.xaxis.label.get_window_extent() for axis in figure.axes if axis.get_xlabel()]
    for boxes in (titles, labels):
        assert all(left.x1 + left.height / 2 < right.x0 for left, right in itertools.pairwise(boxes))
    for axis in figure.axes:
        for ticks, side in ((axis.get_xticklabels(), "x"), (axis.get_yticklabels(), "y")):
            boxes = [text.get_window_extent() for text in ticks if text.get_text()]
            ends = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
            assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert min(box.x0, box.y0) >= -1
    assert box.x1 <= figure.bbox.width + 1
    assert box.y1 <= figure.bbox.height + 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, "not applicable (x)"])
def test_values_that_cannot_be_drawn_are_refused(value):
    table, measured = tables(widths=(100,), sizes=(1000,), seeds=1, steps=2)
    words = (
        r"network 'n100', 1,000 examples, seed 0, iteration 10: {} is {} in the table of {}; .* look at the training"
    )
    shown = str(value).replace("(", r"\(").replace(")", r"\)")
    for draw, frame, column, name in (
        (bounds, table, "lemma1", "bounds"),
        (terms, measured, "squared_diameter", "terms"),
    ):
        frame = frame.astype({column: object})
        frame.loc[frame["iteration"] == 10, column] = value
        with pytest.raises(UserError, match=words.format(column, shown, name)):
            draw(frame, FAST)


def test_incomplete_tables_are_refused():
    for draw, name, table in zip((bounds, terms), ("bounds", "terms"), tables(steps=2), strict=True):
        with pytest.raises(UserError, match=rf"the table of {name} has no column 'seed', 'trivial_loss'; .*'?network"):
            draw(table.drop(columns=["seed", "trivial_loss"]), FAST)
        with pytest.raises(UserError, match=rf"the table of {name} has no method 'lucky'; it has greedy"):
            draw(table, FAST, "lucky")
        with pytest.raises(UserError, match=rf"the table of {name} has no method 'greedy'; it has no rows"):
            draw(table.iloc[:0], FAST)
        with pytest.raises(UserError, match="the table holds e, f"):
            draw(pd.concat([table, table.assign(experiment="f")]), FAST)
        with pytest.raises(UserError, match=rf"seed 0, iteration 0: the table of {name} has more than one row"):
            draw(pd.concat([table, table.iloc[:1]]), FAST)
        gone = table.query("not (width == 400 and seed == 1 and examples == 100 and iteration == 50)")
        words = (
            rf"'n400', 100 examples, seed 1, iteration 50: the table of {name} has no row for it \(1 of 36 are missing"
        )
        with pytest.raises(UserError, match=words):
            draw(gone, FAST)


def test_other_methods_and_columns_do_not_matter():
    small = tables(widths=(100,), checkpoints=(0,), steps=5)
    for draw, table in zip((bounds, terms), small, strict=True):
        other = table.assign(method="lucky", trivial_loss=math.nan)
        more = pd.concat([table, other]).assign(smallest_singular_value="not applicable (more examples than neurons)")
        assert render(draw(more, FAST), "png") == render(draw(table, FAST), "png")
