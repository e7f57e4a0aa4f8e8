"""Effects over seeds: intervals against scipy and the bootstrap itself, and what they decide."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from goodsubnet.claims.statistics import FAILS, HOLDS, UNDECIDED, Line, between_groups, over_seeds
from goodsubnet.results.analysis import resamples

numbers = st.integers(-50, 50).map(lambda whole: whole / 8)


@given(st.lists(numbers, min_size=2, max_size=6).filter(lambda values: len(set(values)) > 1))
def test_the_interval_is_the_corrected_bootstrap_over_all_resamples_with_students_quantile(values):
    count = len(values)
    draws, weights = resamples(count, 10_000, 0)
    means = draws @ np.array(values) / count
    variance = weights @ (means - np.mean(values)) ** 2 / weights.sum()
    error = math.sqrt(variance * count / (count - 1))
    reach = stats.t.ppf(0.975, count - 1) * error
    estimate = over_seeds(np.array(values))
    assert estimate.interval() == pytest.approx((np.mean(values) - reach, np.mean(values) + reach), abs=1e-9)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_promises(seeds):
    generator = np.random.default_rng(seeds)
    tables = 3000
    intervals = (over_seeds(generator.normal(0.3, 2, seeds)).interval() for _ in range(tables))
    covered = sum(low <= 0.3 <= high for low, high in intervals)
    assert stats.binom.ppf(1e-4, tables, 0.95) <= covered <= stats.binom.ppf(1 - 1e-4, tables, 0.95)


@given(st.lists(numbers, min_size=2, max_size=6).filter(lambda values: len(set(values)) > 1), numbers)
def test_the_refuting_level_is_the_p_value_of_the_t_test(values, line):
    p = stats.ttest_1samp(values, line).pvalue if np.mean(values) != line else 1
    estimate = over_seeds(np.array(values))
    below = estimate.effect < line
    assert estimate.level_refuting(Line(low=line)) == pytest.approx(p if below else 1)
    assert estimate.level_refuting(Line(high=line)) == pytest.approx(1 if below else p)


@given(*[st.lists(numbers, min_size=2, max_size=5).filter(lambda values: len(set(values)) > 1)] * 2)
def test_groups_of_different_seeds_are_compared_as_welch_does(first, second):
    expected = stats.ttest_ind(second, first, equal_var=False)
    difference = between_groups(over_seeds(np.array(first)), over_seeds(np.array(second)))
    interval = expected.confidence_interval()
    assert difference.interval() == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert difference.seeds == min(len(first), len(second))


@pytest.mark.parametrize(
    ("values", "line", "verdict", "reason"),
    [
        ([0.4, 0.5, 0.6], Line(low=0.1), HOLDS, ""),
        ([0.4, 0.5, 0.6], Line(high=0.1), FAILS, ""),
        ([0.4, 0.5, 0.6], Line(low=0.45), UNDECIDED, "the interval crosses the line"),
        ([0.4, 0.5, 0.6], Line(0.1, 0.9), HOLDS, ""),
        ([0.4, 0.5, 0.6], Line(0.9, 1.0), FAILS, ""),
        ([0.4, 0.5, 0.6], Line(0.49, 0.51), UNDECIDED, "the interval crosses the line"),
        ([0.5], Line(low=0), UNDECIDED, "one seed, from which no interval follows; add seeds"),
        ([0.5] * 3, Line(low=0), UNDECIDED, "all 3 seeds give the same number, so that their spread says nothing"),
        ([0.0] * 7, Line(low=0), UNDECIDED, "all seeds are exactly at the line"),
        # Two to the minus five is below 0.05, two to the minus four is not.
        ([0.5] * 6, Line(low=0), HOLDS, ""),
        ([-0.5] * 6, Line(low=0), FAILS, ""),
        ([0.5] * 5, Line(low=0), UNDECIDED, "all 5 seeds give the same number, so that their spread says nothing"),
    ],
)
def test_verdicts(values, line, verdict, reason):
    assert over_seeds(np.array(values)).verdict(line) == (verdict, reason)


def test_ranges_decide_only_what_holds_whatever_the_numbers_are():
    values, inf = np.array([1.0, 1.2, 1.1]), np.full(3, np.inf)
    open_above = over_seeds(values, values, inf)
    assert open_above.verdict(Line(low=0.2)) == (HOLDS, "")
    assert open_above.verdict(Line(low=2)) == (UNDECIDED, "censored")
    assert open_above.verdict(Line(high=0.2)) == (FAILS, "")
    assert open_above.verdict(Line(0.5, 2)) == (UNDECIDED, "censored")
    assert open_above.interval()[1] == math.inf
    assert open_above.level_refuting(Line(low=2)) == 1
    wide = over_seeds(values, values - 1, values + 1)
    low, high = over_seeds(values).interval()
    assert wide.interval() == pytest.approx((low - 1, high + 1))


def test_lines_in_words_and_ratios_by_their_logarithms():
    assert [str(line) for line in (Line(low=0), Line(high=2, ratio=True), Line(0.8, 1.25, ratio=True))] == [
        *("above 0", "below 2", "between 0.8 and 1.25")
    ]
    band = Line(0.8, 1.25, ratio=True)
    assert band.ends == pytest.approx((-math.log(1.25), math.log(1.25)))
    assert band.shown(math.log(1.1)) == pytest.approx(1.1)
    assert band.shown(math.inf) == math.inf
    assert band.shown(-math.inf) == 0


def test_a_seed_without_a_number_is_no_effect():
    with pytest.raises(ValueError, match="no number"):
        over_seeds(np.array([1.0, np.nan]))
