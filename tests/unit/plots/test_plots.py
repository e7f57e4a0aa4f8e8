"""Figures: what they draw equals what the analysis says, and the same figure gives the same bytes."""

import hashlib
import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from figure_parts import legend_of, lines_of

from goodsubnet.errors import UserError
from goodsubnet.plots.accuracy import curves, figure1
from goodsubnet.plots.axes import AccuracyScale
from goodsubnet.plots.canvas import check_colours, render
from goodsubnet.results.analysis import required_pretraining, summary
from goodsubnet.settings import FigureStyle

FAST = {"dpi": 40}


def evaluations(
    widths=(100, 400),
    sizes=(1000, 5000, 10000),
    iterations=(0, 1000, 2000, 3000),
    seeds=2,
    methods=("greedy",),
) -> pd.DataFrame:
    """Return accuracies that rise with iterations and fall with examples and width, with a little noise."""
    generator = np.random.default_rng(0)
    rows = []
    for width in widths:
        for method in methods:
            for size in sizes:
                for seed in range(seeds):
                    for place, iteration in enumerate(iterations):
                        error = 0.35 * 0.35**place * (size / 1000) ** 0.2 * (1 + width / 1e5)
                        accuracy = 1 - error * (1 + 0.02 * generator.uniform())
                        rows.append((f"n{width}", width, size, seed, iteration, method, accuracy))
    columns = ["network", "width", "examples", "seed", "iteration", "method", "train_accuracy"]
    frame = pd.DataFrame(rows, columns=columns).assign(experiment="e")
    frame["test_accuracy"] = frame["train_accuracy"] - 0.01
    frame["dense_train_accuracy"] = frame["dense_test_accuracy"] = frame["train_accuracy"]
    return frame


def panels_of(figure):
    """Return the axes with a title: the panels, without the colour bar."""
    return [axis for axis in figure.axes if axis.get_title()]


@pytest.fixture(scope="module")
def figure():
    """Return Figure 1 of two widths."""
    return figure1(evaluations(), FAST)


def test_figure1_has_a_panel_a_width_in_order_and_says_what_the_mean_is_over(figure):
    assert [axis.get_title() for axis in panels_of(figure)] == ["width N = 100", "width N = 400"]
    assert "greedy" in figure.get_suptitle()
    assert "mean over 2 seeds" in figure.get_suptitle()
    assert len(figure.axes) == 3


def test_figure1_line_has_the_vertices_of_the_analysis(figure):
    required = required_pretraining(evaluations())
    for axis, width in zip(panels_of(figure), (100, 400), strict=True):
        need = required[required["width"] == width]
        (line,) = lines_of(axis, "required")
        np.testing.assert_array_equal(line.get_xdata(), need["iteration"])
        np.testing.assert_array_equal(line.get_ydata(), need["examples"])
        assert f"{need['target'].iloc[0]:.4f}" in axis.texts[0].get_text()


def test_figure1_colours_are_the_means(figure):
    means = summary(evaluations()).query("width == 100")
    (mesh,) = panels_of(figure)[0].collections
    np.testing.assert_array_equal(np.ravel(mesh.get_array()), means["mean"])
    colours = mesh.norm(means["mean"].to_numpy())
    assert (np.argsort(colours) == np.argsort(means["mean"].to_numpy())).all()
    assert colours.min() >= 0
    assert colours.max() <= 1


def test_figure1_tick_labels_are_sizes_and_checkpoints_with_separators(figure):
    axis = panels_of(figure)[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["1,000", "5,000", "10,000"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0", "1,000", "2,000", "3,000"]
    assert axis.get_xlabel() == "pre-training iterations"
    assert axis.get_ylabel() == "training examples"


def test_figure1_cells_lie_between_midpoints_where_the_spacing_is_nearly_even(figure):
    axis = panels_of(figure)[0]
    (mesh,) = axis.collections
    np.testing.assert_array_equal(mesh.get_coordinates()[:, 0, 1], [-1000, 3000, 7500, 12500])
    assert axis.get_yscale() == "linear"


def test_figure1_uneven_checkpoints_get_equal_cells_and_the_label_says_so():
    frame = evaluations(iterations=(0, 100, 200, 500, 8000), widths=(100,))
    axis = panels_of(figure1(frame, FAST))[0]
    assert axis.get_xlabel() == "pre-training iterations (not to scale)"
    assert axis.get_ylabel() == "training examples"
    edges = axis.collections[0].get_coordinates()[0, :, 0]
    places = axis.transAxes.inverted().transform(axis.transData.transform(np.c_[edges, np.full(len(edges), 1000)]))[
        :, 0
    ]
    np.testing.assert_allclose(places, np.linspace(0, 1, 6), atol=1e-9)
    # The line keeps the analysis' numbers and bends with the axis: tick and cell centre coincide.
    need = required_pretraining(frame)
    np.testing.assert_array_equal(lines_of(axis, "required")[0].get_xdata(), need["iteration"])
    ticks = axis.transAxes.inverted().transform(axis.transData.transform([[200, 1000]]))[0, 0]
    assert ticks == pytest.approx(0.5)


def test_figure1_marks_sizes_that_never_match_and_those_that_match_at_once():
    frame = evaluations(widths=(100,))
    frame.loc[frame["examples"] == 1000, "train_accuracy"] = 1.0
    frame.loc[frame["examples"] == 5000, "train_accuracy"] *= 0.9
    figure = figure1(frame, FAST)
    axis = panels_of(figure)[0]
    (never,), (before,) = lines_of(axis, "never"), lines_of(axis, "at or before first")
    assert (list(never.get_xdata()), list(never.get_ydata())) == ([1], [5000])
    assert (list(before.get_xdata()), list(before.get_ydata())) == ([0], [1000])
    assert never.get_marker() != before.get_marker()
    assert np.isnan(lines_of(axis, "required")[0].get_xdata()[1])
    assert legend_of(figure) == [
        "pre-training needed to match the best at 10,000 examples",
        "matched at or before the first checkpoint",
        "not matched by iteration 3,000",
    ]


def test_figure1_legend_explains_only_what_occurs(figure):
    assert legend_of(figure) == ["pre-training needed to match the best at 10,000 examples"]


@pytest.mark.parametrize("widths", [(1,), (1, 2, 3, 4), (1, 2, 3, 4, 5)])
def test_figure1_fits_any_number_of_panels(widths):
    frame = evaluations(widths=widths, sizes=(500, 1000), iterations=(0, 100), seeds=1)
    figure = figure1(frame, FAST)
    assert len(panels_of(figure)) == len(widths)
    assert "one seed" in figure.get_suptitle()
    assert figure.get_figwidth() <= 7


def test_figure1_of_one_size_and_networks_without_a_width():
    frame = evaluations(sizes=(500,))
    frame["width"] = np.nan
    figure = figure1(frame, FAST, accuracy="test_accuracy")
    assert [axis.get_title() for axis in panels_of(figure)] == ["n100", "n400"]
    assert any("test accuracy" in axis.get_ylabel() for axis in figure.axes)


def test_labels_do_not_overlap_and_lie_within_the_figure():
    frame = evaluations(widths=(5000, 10000, 20000), sizes=(1000, *range(5000, 50001, 5000)), seeds=1)
    frame = frame[frame["iteration"] == 0]
    frame = pd.concat([frame.assign(iteration=1000 * t, train_accuracy=0.6 + 0.04 * t) for t in range(9)])
    figure = figure1(frame, FAST)
    figure.canvas.draw()
    for axis in panels_of(figure):
        for labels, side in ((axis.get_xticklabels(), "x"), (axis.get_yticklabels(), "y")):
            boxes = [label.get_window_extent() for label in labels if label.get_visible()]
            ends = [(getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes]
            assert all(a[1] < b[0] for a, b in itertools.pairwise(ends))
    whole = figure.bbox
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= whole.width + 1
    assert box.y1 <= whole.height + 1


def test_curves_have_a_row_a_method_and_a_column_a_network():
    frame = evaluations(methods=("random", "greedy", "magnitude"))
    figure = curves(frame, FAST)
    assert len(figure.axes) == 6
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == [
        "greedy selection",
        "magnitude selection",
        "random selection",
    ]
    assert [axis.get_title() for axis in figure.axes[:2]] == ["width N = 100", "width N = 400"]
    for axis in figure.axes:
        assert len(lines_of(axis, "subnetwork")) == len(lines_of(axis, "dense")) == 3
    assert set(legend_of(figure)) >= {
        "1,000",
        "10,000",
        "subnetwork, mean over 2 seeds",
        "worst to best seed",
    }


def test_curves_show_mean_and_spread_over_seeds():
    frame = evaluations(widths=(100,))
    (axis,) = curves(frame, FAST).axes
    rows = summary(frame).query("examples == 1000")
    np.testing.assert_array_equal(lines_of(axis, "subnetwork")[0].get_ydata(), rows["mean"])
    band = axis.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == rows["min"].min()
    assert band[:, 1].max() == rows["max"].max()


def test_curves_of_one_seed_claim_no_spread():
    figure = curves(evaluations(seeds=1, iterations=(0, 100)), FAST)
    assert "worst to best seed" not in legend_of(figure)
    assert "subnetwork, one seed" in legend_of(figure)


@pytest.mark.parametrize("kind", ["power", "log", "linear"])
@pytest.mark.parametrize("values", [(0.6, 0.95, 1.0), (0.701, 0.703), (1.0, 1.0), (0.5, 0.5), (0.0, 1.0)])
def test_scale_of_accuracies_is_monotone_and_its_ticks_are_on_it(kind, values):
    scale = AccuracyScale(values, kind)
    places = scale.forward(np.array([scale.low, *sorted(set(values)), scale.high]))
    assert (np.diff(places) >= 0).all()
    assert places[-1] > places[0]
    ticks = scale.ticks(8)
    assert 2 <= len(ticks) <= 8
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    inner = np.array([value for value in values if value < 1])
    np.testing.assert_allclose(scale.inverse(scale.forward(inner)), inner, atol=1e-12)


@pytest.mark.parametrize("kind", ["log", "linear"])
def test_every_color_norm_can_be_drawn(kind):
    figure = figure1(evaluations(widths=(100,)), {**FAST, "color_norm": kind})
    assert render(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(("file_format", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_rendering_gives_the_same_bytes_each_time(figure, file_format, start):
    first = render(figure, file_format)
    assert first.startswith(start)
    assert first == render(figure, file_format)
    assert first == render(figure1(evaluations(), FAST), file_format)
    assert b"CreationDate" not in first
    assert b"dc:date" not in first
    assert b"Software" not in first


def test_rendering_gives_the_same_bytes_in_another_process_and_with_other_settings(figure):
    script = (
        "import hashlib, matplotlib; matplotlib.rcParams['font.size'] = 20; "
        "from tests.unit.plots.test_plots import *; "
        "f = figure1(evaluations(), FAST); "
        "print(*(hashlib.sha256(render(f, e)).hexdigest() for e in ('pdf', 'png', 'svg')))"
    )
    other = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join([".", *sys.path]), "PYTHONHASHSEED": "7"},
    )
    here = [hashlib.sha256(render(figure, each)).hexdigest() for each in ("pdf", "png", "svg")]
    assert other.stdout.split() == here


def test_pdf_embeds_fonts_as_truetype(figure):
    assert b"/Subtype /Type3" not in render(figure, "pdf")


def test_png_has_the_dots_that_were_asked_for(figure):
    width = int.from_bytes(render(figure, "png")[16:20], "big")
    assert width == pytest.approx(figure.get_figwidth() * 40, abs=1)


def test_nothing_imports_pyplot_or_seaborn_and_settings_stay_as_they_were():
    script = (
        "import sys; from tests.unit.plots.test_plots import *; import matplotlib; "
        "rc = matplotlib.rcParams; keys = [k for k in rc if k != 'backend']; before = [rc[k] for k in keys]; "
        "render(curves(evaluations(), FAST), 'png'); assert before == [rc[k] for k in keys]; "
        "assert not {'matplotlib.pyplot', 'seaborn', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join([".", *sys.path])})


def test_unknown_format_is_refused(figure):
    with pytest.raises(UserError, match="'jpg' is not supported; choose pdf, png, svg"):
        render(figure, "jpg")


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"colourmap": "viridis"}, "colourmap: unknown key; did you mean colormap"),
        ({"colormap": "viridus"}, "colormap is 'viridus'"),
        ({"color_norm": "sqrt"}, "color_norm: input should be 'power', 'log' or 'linear', got 'sqrt'"),
        ({"red_line": "redd"}, "red_line is 'redd'"),
        ({"dpi": True}, "dpi: .* got True"),
        ({"width_inches": 1}, "width_inches: .* got 1"),
    ],
)
def test_wrong_style_is_refused(style, message):
    with pytest.raises(UserError, match=message):
        figure1(evaluations(), style)


def test_default_colours_grow_lighter_all_the_way():
    rgb = matplotlib.colormaps[FigureStyle().colormap](np.linspace(0, 1, 64))[:, :3]
    assert (np.diff(rgb @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_missing_method_and_mixed_experiments_are_refused():
    with pytest.raises(UserError, match=r"'lucky'.* has greedy"):
        figure1(evaluations(), FAST, method="lucky")
    mixed = pd.concat([evaluations(), evaluations().assign(experiment="f")])
    with pytest.raises(UserError, match="the table holds e, f"):
        curves(mixed, FAST)


def test_no_title_is_wider_than_its_figure():
    for widths in ((100,), (100, 200)):
        frame = evaluations(widths=widths)
        for figure in (figure1(frame, FAST), curves(frame, FAST)):
            extent = figure._suptitle.get_window_extent(figure.canvas.get_renderer())
            assert extent.x0 >= 0
            assert extent.x1 <= figure.bbox.width


def test_colours_can_be_checked_without_a_figure():
    check_colours(FigureStyle())
    for wrong in ({"colormap": "viridus"}, {"red_line": "bluu"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            check_colours(FigureStyle(**wrong))
