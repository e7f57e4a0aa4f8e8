"""The figure of the tables: what it draws equals the table."""

import numpy as np
import pandas as pd
import pytest
from figure_parts import legend_of, lines_of

from goodsubnet.errors import UserError
from goodsubnet.plots.accuracy_table import accuracy_table_figure
from goodsubnet.plots.canvas import render

FAST = {"dpi": 40, "color_norm": "linear"}
ITERATIONS = (1000, 2000, 3000)


def table(networks=("a", "b"), sizes=(100, 200), methods=("greedy",), seeds=3, before=0.75) -> pd.DataFrame:
    """Return a table of accuracies: the second checkpoint is the first winning ticket."""
    rows = [
        {
            **{"experiment": "e", "network": network, "width": np.nan, "method": method, "examples": size},
            **{"iteration": iteration, "seeds": seeds, "mean_before_finetuning": before},
            **{"mean": 0.8 + 0.05 * place - 0.01 * m, "min": 0.79 + 0.05 * place - 0.01 * m},
            **{"max": 0.82 + 0.05 * place - 0.01 * m, "dense_at_checkpoint": 0.75 + 0.04 * place, "dense_mean": 0.83},
            "first_winning_ticket": place == 1,
            "paper_mean": 0.81 + 0.05 * place if network == "a" else np.nan,
            "paper_dense": 0.9 if network == "a" else np.nan,
        }
        for network in networks
        for size in sizes
        for m, method in enumerate(methods)
        for place, iteration in enumerate(ITERATIONS)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def figure():
    """Return the figure of two networks, of which one is the paper's, and two sizes."""
    return accuracy_table_figure(table(), FAST, "CIFAR-10 (JPEG)")


def test_a_row_is_a_network_and_a_column_a_size(figure):
    assert [axis.get_title() for axis in figure.axes] == ["100 examples", "200 examples", "", ""]
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == ["a\ntest accuracy (%)", "b\ntest accuracy (%)"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "", *["pre-training iterations"] * 2]
    assert figure.get_suptitle() == "CIFAR-10 (JPEG): subnetworks by greedy selection"
    ticks = [float(label.get_text()) for label in figure.axes[0].get_yticklabels()]
    np.testing.assert_allclose(ticks, 100 * figure.axes[0].get_yticks(), rtol=1e-5)


def test_lines_and_marks_are_the_table(figure):
    expected = {
        "subnetwork": [0.8, 0.85, 0.9],
        "before": [0.75] * 3,
        "dense": [0.75, 0.79, 0.83],
        "fully trained": [0.83, 0.83],
        "ticket": [0.85],
        "paper": [0.81, 0.86, 0.91],
        "paper dense": [0.9],
    }
    for kind, values in expected.items():
        (line,) = lines_of(figure.axes[0], kind)
        np.testing.assert_allclose(line.get_ydata(), values, rtol=1e-12, err_msg=kind)
    (ticket,) = lines_of(figure.axes[0], "ticket")
    assert list(ticket.get_xdata()) == [2000]
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.79, 0.92))


def test_only_networks_with_numbers_of_the_paper_show_them(figure):
    counts = [len(lines_of(axis, kind)) for axis in figure.axes for kind in ("paper", "paper dense")]
    assert counts == [1, 1, 1, 1, 0, 0, 0, 0]
    assert "the paper's subnetwork" in legend_of(figure)
    assert "the paper's subnetwork" not in legend_of(accuracy_table_figure(table(networks=("b",)), FAST, "t"))


def test_methods_have_colours_and_share_one_number_of_the_paper():
    methods = ("greedy", "magnitude", "random")
    figure = accuracy_table_figure(table(methods=methods), FAST, "t")
    lines = lines_of(figure.axes[0], "subnetwork")
    assert len({tuple(line.get_color()) for line in lines}) == 3
    assert legend_of(figure)[:3] == list(methods)
    assert figure.get_suptitle() == "t: subnetworks"
    assert len(lines_of(figure.axes[0], "paper")) == len(lines_of(figure.axes[0], "dense")) == 1


def test_two_methods_with_numbers_of_their_own_show_both_in_their_colours():
    frame = table(networks=("a",), sizes=(100,), methods=("greedy40", "greedy60"))
    frame["paper_mean"] = frame["mean"] - 0.02
    (axis,) = accuracy_table_figure(frame, FAST, "t").axes
    shown = {tuple(line.get_color()): list(line.get_ydata()) for line in lines_of(axis, "paper")}
    ours = {tuple(line.get_color()): list(np.array(line.get_ydata()) - 0.02) for line in lines_of(axis, "subnetwork")}
    assert shown == ours
    assert len(shown) == 2


def test_the_legend_names_only_what_is_there():
    frame = table(networks=("b",), sizes=(100,), seeds=1).assign(first_winning_ticket=False)
    figure = accuracy_table_figure(frame, FAST, "t")
    assert legend_of(figure) == [
        "subnetwork, fine-tuned, one seed",
        "before fine-tuning",
        "dense network at the checkpoint",
        "dense network, fully trained",
    ]


def test_low_values_before_finetuning_are_marked_at_the_edge():
    frame = table(networks=("b",), sizes=(100,))
    frame.loc[frame["iteration"] == 2000, "mean_before_finetuning"] = 0.1
    figure = accuracy_table_figure(frame, FAST, "t")
    (axis,) = figure.axes
    (below,) = lines_of(axis, "below")
    assert list(below.get_xdata()) == [2000]
    assert 0.6 < axis.get_ylim()[0] < 0.75
    assert "before fine-tuning, lower than shown" in legend_of(figure)
    low = accuracy_table_figure(table(networks=("b",), sizes=(100,), before=0.72), FAST, "t")
    assert lines_of(low.axes[0], "below") == []
    assert low.axes[0].get_ylim()[0] < 0.72


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 6)])
@pytest.mark.parametrize("methods", [("greedy",), ("greedy", "magnitude", "random")])
def test_everything_lies_within_the_figure_and_panels_keep_their_height(shape, methods):
    names, sizes = [f"resnet{n}" for n in range(shape[0])], [10_000 * (n + 1) for n in range(shape[1])]
    figure = accuracy_table_figure(table(names, sizes, methods), {"dpi": 40}, "CIFAR-10 (JPEG)")
    figure.canvas.draw()
    assert len(figure.axes) == shape[0] * shape[1]
    assert figure.get_figwidth() <= 7
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= figure.bbox.width + 1
    assert box.y1 <= figure.bbox.height + 1
    for axis in figure.axes:
        assert axis.get_window_extent().height / 40 > 1
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 < min(axis.get_tightbbox().y0 for axis in figure.axes)


def test_the_same_table_gives_the_same_bytes():
    first, second = (render(accuracy_table_figure(table(), FAST, "t"), "png") for _ in range(2))
    assert first == second


def test_wrong_style_and_mixed_experiments_are_refused():
    with pytest.raises(UserError, match="colormap is 'viridus'"):
        accuracy_table_figure(table(), {"colormap": "viridus"}, "t")
    with pytest.raises(UserError, match="the table holds e, f"):
        accuracy_table_figure(pd.concat([table(), table().assign(experiment="f")]), FAST, "t")
