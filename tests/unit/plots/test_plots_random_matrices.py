"""Figures 2 and 3 draw what their tables say, and nothing where a matrix has more examples than neurons."""

import itertools

import numpy as np
import pandas as pd
import pytest
from figure_parts import lines_of
from matplotlib.colors import to_rgba

from goodsubnet.errors import UserError
from goodsubnet.plots.canvas import render
from goodsubnet.plots.random_matrices import figure2, figure3
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.random_matrices import (
    condition_number_table,
    condition_numbers,
    marchenko_pastur,
    singular_value_fits,
    singular_value_table,
)

FAST = {"dpi": 40}
GRID = [4, 8, 16, 30, 60]


def draws_of(inputs=(5, 20), sizes=(10, 20, 50), widths=(200, 400, 1000, 3000), draws=4):
    """Return values that grow like sqrt(N) - sqrt(m)/2, with a little noise."""
    rng = np.random.default_rng(0)
    rows = [
        (m, d, width, draw, 0.02 * d * (width**0.5 - m**0.5 / 2) * rng.lognormal(0, 0.05))
        for m, d, width, draw in itertools.product(sizes, inputs, widths, range(draws))
    ]
    return pd.DataFrame(rows, columns=["examples", "inputs", "width", "draw", "value"])


def tables(**grid):
    """Return the table and the fits of Figure 2."""
    draws = draws_of(**grid)
    return singular_value_table(draws), singular_value_fits(draws)


def conditions(examples=GRID, widths=GRID, draws=3):
    """Return the table of Figure 3."""
    return condition_number_table(pd.concat([condition_numbers(m, widths, draws) for m in examples]))


@pytest.fixture(scope="module")
def second():
    """Return Figure 2."""
    return figure2(*tables(), FAST)


@pytest.fixture(scope="module")
def third():
    """Return Figure 3."""
    return figure3(conditions(), FAST)


def texts_of(legend):
    """Return the texts of a legend."""
    return [text.get_text() for text in legend.get_texts()]


def bars_of(container):
    """Return the points (n, 2) of an error bar container, and the ends of its bars (n, 2)."""
    points, _, (bars,) = container.lines
    return points.get_xydata(), np.array([segment[:, 1] for segment in bars.get_segments()])


def test_figure2_has_a_panel_a_number_of_inputs_and_log_axes(second):
    assert [axis.get_title() for axis in second.axes] == ["d = 5 inputs", "d = 20 inputs"]
    assert all(axis.get_xscale() == axis.get_yscale() == "log" for axis in second.axes)
    assert second.axes[0].get_ylim() == second.axes[1].get_ylim()
    assert "mean and standard deviation of 4 draws" in second.get_suptitle()
    (legend,) = second.legends
    assert texts_of(legend)[:3] == ["m = 10 examples", "m = 20 examples", "m = 50 examples"]
    assert len(texts_of(legend)) == 5


def test_figure2_points_and_bars_are_those_of_the_table(second):
    table, _ = tables()
    for axis, inputs in zip(second.axes, (5, 20), strict=True):
        for container, examples in zip(axis.containers, (10, 20, 50), strict=True):
            rows = table[(table["inputs"] == inputs) & (table["examples"] == examples)]
            points, ends = bars_of(container)
            np.testing.assert_array_equal(points, rows[["width", "mean"]])
            deviation = rows["standard_deviation"]
            np.testing.assert_allclose(ends, np.stack([rows["mean"] - deviation, rows["mean"] + deviation], axis=1))


def test_figure2_lines_are_the_fitted_curves_and_the_legend_the_exponents(second):
    _, fits = tables()
    for axis, inputs in zip(second.axes, (5, 20), strict=True):
        here = fits[fits["inputs"] == inputs]
        for name, offset in (("sqrt", 0), ("difference", 1)):
            for line, (_, fit) in zip(lines_of(axis, name), here.iterrows(), strict=True):
                widths, values = line.get_data()
                assert (widths.min(), widths.max()) == pytest.approx((200, 3000))
                curve = np.sqrt(widths) - offset * np.sqrt(fit["examples"])
                np.testing.assert_allclose(values, fit[f"c_{name}"] * curve)
        exponents = [f"{fit['exponent']:.3f} [{fit['low']:.3f}, {fit['high']:.3f}]" for _, fit in here.iterrows()]
        assert texts_of(axis.get_legend()) == exponents


def test_figure2_has_one_colour_a_number_of_examples(second):
    (legend,) = second.legends
    shown = [to_rgba(handle.get_color()) for handle in legend.legend_handles[:3]]
    assert len(set(shown)) == 3
    for axis in second.axes:
        for kind in ("sqrt", "difference"):
            assert [to_rgba(line.get_color()) for line in lines_of(axis, kind)] == shown
        assert [to_rgba(container.lines[0].get_color()) for container in axis.containers] == shown
        assert [to_rgba(handle.get_color()) for handle in axis.get_legend().legend_handles] == shown


def test_figure2_draws_no_curve_and_says_why_where_there_is_no_fit():
    figure = figure2(*tables(inputs=(5,), sizes=(200, 400), widths=(200, 300), draws=1), FAST)
    (axis,) = figure.axes
    assert (len(lines_of(axis, "sqrt")), len(lines_of(axis, "difference"))) == (1, 0)
    first, second = texts_of(axis.get_legend())
    assert float(first)
    assert second == "not applicable (more examples than neurons)"
    assert "one draw" in figure.get_suptitle()
    assert [len(container.lines[0].get_xdata()) for container in axis.containers] == [2, 0]


def test_figure3_colours_are_the_medians_and_hatched_cells_have_more_examples_than_neurons(third):
    table = conditions()
    axis = third.axes[0]
    mesh = axis.collections[0]
    defined = table[table["examples"] <= table["width"]]
    drawn = mesh.get_array().compressed()
    wanted = defined.sort_values(["width", "examples"])["median"].astype(float)
    np.testing.assert_array_equal(drawn, wanted)
    hatched = {(patch.get_x(), patch.get_y()) for patch in axis.patches if patch.get_gid() == "undefined"}
    corners = mesh.get_coordinates()[:-1, :-1][mesh.get_array().mask.reshape(5, 5)]
    assert hatched == set(map(tuple, corners))
    assert len(hatched) == 25 - len(defined) == 10
    assert "not applicable (m > N)" in texts_of(third.legends[0])


def test_figure3_writes_the_medians_into_their_cells(third):
    table = conditions().set_index(["examples", "width"])["median"]
    written = {text.get_position(): float(text.get_text().replace(",", "")) for text in third.axes[0].texts}
    assert len(written) == 15
    for place, value in written.items():
        assert value == pytest.approx(table[place], rel=0.005)


def test_figure3_writes_no_value_into_cells_that_are_too_small_for_it():
    many = list(range(3, 33))
    axis = figure3(conditions(many, many, draws=1), FAST).axes[0]
    assert not axis.texts
    assert len(axis.patches) == 30 * 29 / 2


def test_figure3_curves_are_medians_with_their_range_and_the_law(third):
    table = conditions()
    axis = third.axes[1]
    widths = [int(text.replace(",", "")) for text in texts_of(axis.get_legend())]
    assert widths == [16, 30, 60]
    for container, law, width in zip(axis.containers, lines_of(axis, "law"), widths, strict=True):
        rows = table[(table["width"] == width) & (table["examples"] <= width)]
        points, ends = bars_of(container)
        np.testing.assert_array_equal(points, rows[["examples", "median"]].astype(float))
        np.testing.assert_allclose(ends, rows[["min", "max"]].astype(float))
        examples, values = law.get_data()
        np.testing.assert_allclose(values, [marchenko_pastur(m, width) for m in examples])
        assert examples[0] == 4
        assert width * (1 - 1e-5) < examples[-1] < width
        assert values[-1] > axis.get_ylim()[1]


def test_figure3_of_fewer_examples_than_neurons_hatches_nothing():
    figure = figure3(conditions([4], [60, 80], draws=1), FAST)
    assert not figure.axes[0].patches
    assert not any("not applicable" in text for text in texts_of(figure.legends[0]))
    assert figure.axes[0].collections[0].norm.vmin == 1


@pytest.mark.parametrize("width", [4, 7])
def test_texts_lie_within_the_figures_and_do_not_overlap(width):
    style = {**FAST, "width_inches": width}
    many = tables(inputs=(10, 50, 100), widths=(500, 1000, 2000, 4000, 8000, 16000))
    for figure in (figure2(*many, style), figure3(conditions(), style)):
        figure.canvas.draw()
        assert figure.get_figwidth() <= width
        box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
        assert min(box.x0, box.y0) >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1
        title = figure._suptitle.get_window_extent()
        assert not any(axis.get_tightbbox().overlaps(title) for axis in figure.axes)
        for axis, side in itertools.product(figure.axes, "xy"):
            labels = getattr(axis, f"get_{side}ticklabels")()
            boxes = [label.get_window_extent() for label in labels if label.get_visible() and label.get_text()]
            ends = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
            assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))


@pytest.mark.parametrize(("largest", "labels"), [(5, ["1", "2", "5"]), (1e6, ["1", "10", "100", "1,000"])])
def test_log_axes_have_as_many_labels_as_there_is_room_for(largest, labels):
    table = conditions()
    for name in ("min", "median", "max"):
        table[name] = np.where(table["examples"] == table["width"], largest, 1.5)
    axis = figure3(table, FAST).axes[1]
    assert [label.get_text() for label in axis.get_yticklabels()][: len(labels)] == labels


def test_figure2_exponents_stand_above_everything_drawn(second):
    second.canvas.draw()
    for axis in second.axes:
        bottom = axis.get_legend().get_window_extent().y0
        for container in axis.containers:
            _, ends = bars_of(container)
            assert axis.transData.transform([[1000, ends.max()]])[0, 1] < bottom


def test_the_same_tables_give_the_same_bytes(second, third):
    assert render(second, "pdf") == render(figure2(*tables(), FAST), "pdf")
    assert render(third, "pdf") == render(figure3(conditions(), FAST), "pdf")


def test_nothing_to_draw_and_wrong_styles_are_refused():
    with pytest.raises(UserError, match="more examples than neurons, so that there is nothing to draw"):
        figure3(conditions([8], [4]), FAST)
    table, fits = tables(sizes=(5000,))
    assert isinstance(table["mean"][0], NotApplicable)
    with pytest.raises(UserError, match="add larger widths"):
        figure2(table, fits, FAST)
    for draw in (lambda style: figure2(*tables(), style), lambda style: figure3(conditions(), style)):
        with pytest.raises(UserError, match="colormap is 'viridus'"):
            draw({"colormap": "viridus"})
