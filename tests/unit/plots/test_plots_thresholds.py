"""The figure of the thresholds draws what the tables say, and nothing overlaps."""

import itertools

import numpy as np
import pandas as pd
import pytest
from figure_parts import legend_of

from goodsubnet.errors import UserError
from goodsubnet.plots.canvas import render
from goodsubnet.plots.thresholds import thresholds_figure
from goodsubnet.theory.laws import FORMULAS, compare_laws, law_values

FAST = {"dpi": 60}
SIZES = (1000, 2000, 5000, 10000, 20000)
LAST = 8000
REASON = "not applicable (more examples than neurons)"


def tables(widths=(500, 1000), seeds=3, methods=("greedy",), exponent=0.3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return thresholds that follow a power law with a little noise, and the laws fitted to them."""
    generator = np.random.default_rng(0)
    cells = list(itertools.product(methods, widths, SIZES, range(seeds)))
    frame = pd.DataFrame(cells, columns=["method", "width", "examples", "seed"])
    frame["value"] = 100 * frame["examples"] ** exponent * np.exp(0.03 * generator.normal(size=len(frame)))
    frame = frame.assign(experiment="e", network="n" + frame["width"].astype(str))
    laws = compare_laws(frame, "loss threshold")
    other = compare_laws(frame.assign(value=frame["value"] ** 2), "required pre-training")
    grouped = frame.groupby(["experiment", "network", "width", "method", "examples"])["value"]
    thresholds = grouped.agg(measured="mean", low="min", high="max").reset_index()
    prediction = (thresholds["examples"] / 100).where(thresholds["examples"] < 10000, REASON)
    thresholds = thresholds.assign(seeds=seeds, censored="no", last_iteration=LAST, predicted=prediction)
    thresholds["constant"] = prediction.map(lambda each: each if each == REASON else 0.25)
    return thresholds, pd.concat([laws, other])


def panels_of(figure):
    """Return the axes with a title, but not those without data."""
    return [axis for axis in figure.axes if axis.get_title()]


def drawn(axis, gid) -> list[tuple]:
    """Return the points of all lines of an axis that carry a mark."""
    lines = [line for line in axis.get_lines() if line.get_gid() == gid]
    return [point for line in lines for point in zip(*line.get_data(), strict=True)]


@pytest.fixture(scope="module")
def figure():
    """Return the figure of two widths."""
    return thresholds_figure(*tables(), FAST)


def test_a_panel_a_width_shows_what_was_measured_and_predicted(figure):
    thresholds, _ = tables()
    assert [axis.get_title() for axis in panels_of(figure)] == ["width N = 500", "width N = 1,000"]
    for axis, width in zip(panels_of(figure), (500, 1000), strict=True):
        rows = thresholds[thresholds["width"] == width]
        assert drawn(axis, "no") == list(zip(rows["examples"], rows["measured"], strict=True))
        predicted = rows[rows["predicted"] != REASON]
        assert drawn(axis, "predicted") == list(zip(predicted["examples"], predicted["predicted"], strict=True))
        (bars,) = (each for each in axis.collections if each.get_gid() == "interval")
        ends = [tuple(segment[:, 1]) for segment in bars.get_segments()]
        assert ends == list(zip(rows["low"], rows["high"], strict=True))
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")


def test_laws_are_those_of_the_table_over_the_sizes_measured(figure):
    _, laws = tables()
    laws = laws[laws["quantity"] == "loss threshold"]
    axis = panels_of(figure)[0]
    styles = set()
    for row in laws[laws["width"] == 500].itertuples():
        (line,) = (each for each in axis.get_lines() if each.get_gid() == f"{row.law} law")
        examples, values = line.get_data()
        assert (examples[0], examples[-1]) == pytest.approx((SIZES[0], SIZES[-1]))
        np.testing.assert_allclose(values, law_values(row.law, examples, row.a, row.b))
        assert (line.get_linewidth() > 1) == (row.law == "power")
        styles.add(str(line._dash_pattern))
    assert len(styles) == 3


def test_the_verdict_is_above_the_panel(figure):
    assert [axis.texts[0].get_text() for axis in panels_of(figure)] == ["power law\nAIC weight > 0.99"] * 2
    thresholds, laws = tables((500,))
    undecided = laws.assign(
        verdict="undecided", weight=laws["law"].map({"linear": 0.7, "power": 0.2, "logarithmic": 0.1})
    )
    (axis,) = panels_of(thresholds_figure(thresholds, undecided, FAST))
    assert axis.texts[0].get_text() == "undecided\nbest: linear, AIC weight 0.70"
    assert all(line.get_linewidth() < 1 for line in axis.get_lines() if str(line.get_gid()).endswith("law"))


def test_the_legend_explains_what_is_drawn_and_nothing_else(figure):
    assert legend_of(figure) == [
        "measured: the loss stays low from here on",
        "interval over seeds",
        "Theorem 3, with c = 0.25 fitted",
        "logarithmic law, t = a + b ln m",
        "power law, t = a mᵇ",
        "linear law, t = a + b m",
        "last checkpoint",
    ]
    assert figure.get_suptitle() == "Pre-training until the loss of greedy selection stays low, mean over 3 seeds"


def test_what_has_no_place_on_the_axes_is_at_their_edge_with_marks_of_its_own():
    thresholds, laws = tables((500,))
    thresholds["censored"] = ["at or before first", "no", "no plateau", "never", "no"]
    thresholds["measured"] = [0, 1000, 7500, np.nan, 2000]
    thresholds["low"] = [0, 0, 7000, np.inf, 1900]
    thresholds["high"] = [0, 1100, np.inf, np.inf, 2100]
    thresholds["predicted"] = [0, 500, 600, 700, REASON]
    figure = thresholds_figure(thresholds, laws, FAST)
    (axis,) = panels_of(figure)
    bottom, top = axis.get_ylim()
    assert drawn(axis, "at or before first") == [(1000, bottom)]
    assert drawn(axis, "no") == [(2000, 1000), (20000, 2000)]
    assert drawn(axis, "no plateau") == [(5000, 7500)]
    assert drawn(axis, "never") == [(10000, LAST)]
    assert drawn(axis, "predicted 0") == [(1000, bottom)]
    (bars,) = (each for each in axis.collections if each.get_gid() == "interval")
    ends = [tuple(segment[:, 1]) for segment in bars.get_segments()]
    assert ends == [(bottom, bottom), (bottom, 1100), (7000, top), (top, top), (1900, 2100)]
    assert set(legend_of(figure)) >= {
        "in the last interval: the loss may still be falling",
        "not by the last checkpoint",
        "at or before the first checkpoint",
        "Theorem 3: 0",
    }
    # The laws end where the uncensored sizes do.
    (line,) = (each for each in axis.get_lines() if each.get_gid() == "power law")
    assert line.get_xdata()[[0, -1]] == pytest.approx([2000, 20000])


def test_tables_without_a_law_an_interval_or_a_prediction_can_be_drawn():
    thresholds, laws = tables((500,), seeds=1)
    nothing = ["a", "b", "weight", "best_share"]
    laws = laws.assign(**dict.fromkeys(nothing, np.nan), verdict="not applicable (fewer than 3 sizes)")
    thresholds = thresholds.assign(predicted=REASON, constant=REASON, low=np.nan, high=np.nan)
    figure = thresholds_figure(thresholds, laws, FAST)
    assert legend_of(figure) == ["measured: the loss stays low from here on", "last checkpoint"]
    assert panels_of(figure)[0].texts[0].get_text() == "law not applicable\n(fewer than 3 sizes)"
    assert figure.get_suptitle().endswith("\none seed")


def test_thresholds_that_are_all_censored_can_be_drawn():
    thresholds, laws = tables((500,))
    thresholds = thresholds.assign(censored="never", measured=np.nan, low=np.inf, high=np.inf)
    (axis,) = panels_of(thresholds_figure(thresholds, laws, FAST))
    assert [y for _, y in drawn(axis, "never")] == [LAST] * len(SIZES)


def overlap(a, b) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1


@pytest.mark.parametrize(
    ("widths", "methods"),
    [((500,), ("greedy",)), ((1, 2, 3), ("greedy",)), ((1, 2, 3, 4, 5), ("greedy",)), ((1, 2), ("greedy", "distinct"))],
)
def test_texts_do_not_overlap_and_lie_within_the_figure(widths, methods):
    thresholds, laws = tables(widths, methods=methods)
    longest = laws.assign(
        verdict="undecided", weight=laws["law"].map(dict(zip(FORMULAS, (0.8, 0.1, 0.1), strict=True)))
    )
    figure = thresholds_figure(thresholds, longest, FAST)
    figure.canvas.draw()
    axes = panels_of(figure)
    assert len(axes) == len(widths) * len(methods)
    texts = [figure._suptitle, *itertools.chain(*(legend.get_texts() for legend in figure.legends))]
    for axis in axes:
        labels = [*axis.get_xticklabels(), *axis.get_yticklabels(), axis.xaxis.label, axis.yaxis.label]
        texts += [axis.title, *axis.texts, *(label for label in labels if label.get_visible())]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    for a, b in itertools.combinations(boxes, 2):
        assert not overlap(a, b)
    for box in boxes:
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height


@pytest.mark.parametrize("values", [(1, 1), (3, 40), (90, 110), (0.02, 5e6)])
def test_axes_of_any_span_have_round_ticks(values):
    thresholds, laws = tables((500,))
    thresholds = thresholds.assign(measured=values[0], low=values[0], high=values[1], predicted=REASON)
    thresholds = thresholds.assign(last_iteration=values[1])
    (axis,) = panels_of(thresholds_figure(thresholds, laws, FAST))
    ticks = axis.get_yticks()
    assert 2 <= len(ticks) <= 16
    assert all(axis.get_ylim()[0] <= tick <= axis.get_ylim()[1] for tick in ticks)
    assert [float(label.get_text().replace(",", "")) for label in axis.get_yticklabels()] == pytest.approx(ticks)


@pytest.mark.parametrize(("file_format", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_the_same_tables_give_the_same_bytes(figure, file_format, start):
    content = render(figure, file_format)
    assert content.startswith(start)
    assert content == render(thresholds_figure(*tables(), FAST), file_format)


def test_incomplete_tables_are_refused():
    thresholds, laws = tables()
    with pytest.raises(UserError, match="table of thresholds has no column 'measured'"):
        thresholds_figure(thresholds.drop(columns="measured"), laws, FAST)
    with pytest.raises(UserError, match="table of laws has no column 'verdict'"):
        thresholds_figure(thresholds, laws.drop(columns="verdict"), FAST)
    with pytest.raises(UserError, match="table of thresholds has no rows"):
        thresholds_figure(thresholds.head(0), laws, FAST)
    with pytest.raises(UserError, match="lacks some for network 'n500', method 'greedy'"):
        thresholds_figure(thresholds, laws[laws["width"] == 1000], FAST)
    with pytest.raises(UserError, match="the table holds e, f"):
        thresholds_figure(pd.concat([thresholds, thresholds.assign(experiment="f")]), laws, FAST)
    with pytest.raises(UserError, match="colormap is 'viridus'"):
        thresholds_figure(thresholds, laws, {"colormap": "viridus"})
