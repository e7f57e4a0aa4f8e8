"""The laws of the threshold: planted laws, scipy's own fits, properties, what is left undecided, refusals."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import differential_evolution
from scipy.stats import linregress

from goodsubnet.errors import UserError
from goodsubnet.theory.laws import FORMULAS, compare_laws, fit_law, law_values

SIZES = (1000, 2000, 5000, 10000, 20000, 50000)
PLANTED = {"logarithmic": (-2000, 500), "power": (20, 0.4), "linear": (300, 0.05)}


def table(values, sizes=SIZES, **names) -> pd.DataFrame:
    """Return a table of values (seeds, sizes)."""
    values = np.asarray(values, dtype=float)
    seeds, places = np.indices(values.shape)
    frame = pd.DataFrame({"examples": np.array(sizes)[places.ravel()], "seed": seeds.ravel(), "value": values.ravel()})
    return frame.assign(**{"experiment": "e", "network": "net", "width": 50, "method": "greedy", **names})


def noisy(law, noise, seeds=4, seed=0) -> np.ndarray:
    """Return values (seeds, sizes) of a planted law with errors of ln t."""
    generator = np.random.default_rng(seed)
    return law_values(law, SIZES, *PLANTED[law]) * np.exp(noise * generator.normal(size=(seeds, len(SIZES))))


@pytest.mark.parametrize("law", FORMULAS)
def test_each_planted_law_is_recognised_and_its_coefficients_recovered(law):
    laws = compare_laws(table(noisy(law, 0.03)), "loss threshold").set_index("law")
    assert set(laws["verdict"]) == {law}
    assert laws.loc[law, "weight"] > 0.99
    assert laws.loc[law, "best_share"] == 1
    for name, planted in zip("ab", PLANTED[law], strict=True):
        assert laws.loc[law, f"{name}_low"] <= laws.loc[law, name] <= laws.loc[law, f"{name}_high"]
        assert laws.loc[law, name] == pytest.approx(planted, rel=0.15)


@pytest.mark.parametrize("law", FORMULAS)
def test_without_errors_the_coefficients_are_exact(law):
    values = law_values(law, SIZES, *PLANTED[law])
    fit = fit_law(law, np.array(SIZES), values, np.ones((1, len(SIZES))))
    np.testing.assert_allclose([fit.a[0], fit.b[0]], PLANTED[law], rtol=1e-6)
    assert fit.variance[0] < 1e-14


def test_formulas_are_what_the_laws_compute():
    np.testing.assert_allclose(law_values("logarithmic", [1, math.e], 3, 2), [3, 5])
    np.testing.assert_allclose(law_values("power", [1, 16], 3, 0.5), [3, 12])
    np.testing.assert_allclose(law_values("linear", [1, 10], 3, 2), [5, 23])


def test_the_power_law_is_the_line_through_the_logarithms():
    values = noisy("linear", 0.3)
    line = linregress(np.log(np.tile(SIZES, len(values))), np.log(values.ravel()))
    laws = compare_laws(table(values), "loss threshold").set_index("law")
    assert laws.loc["power", "a"] == pytest.approx(math.exp(line.intercept))
    assert laws.loc["power", "b"] == pytest.approx(line.slope)


def test_counts_weigh_points_as_repeating_them_does():
    generator = np.random.default_rng(1)
    examples, values = np.tile(SIZES, 2), noisy("power", 0.3, seeds=2).ravel()
    counts = generator.integers(0, 4, (3, len(values)))
    for law in FORMULAS:
        together = fit_law(law, examples, values, counts)
        for row, count in enumerate(counts):
            repeated = [np.repeat(each, count) for each in (examples, values)]
            alone = fit_law(law, *repeated, np.ones((1, count.sum())))
            np.testing.assert_allclose([each[row] for each in together], [each[0] for each in alone], rtol=1e-5)


@pytest.mark.parametrize("law", ["logarithmic", "linear"])
@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_the_best_that_a_global_search_finds(law, seed):
    # Thresholds without a law, over four decades: the search has to bend to the positive side of every size.
    generator = np.random.default_rng(seed)
    values = 10 ** generator.uniform(0, 4, len(SIZES))
    fit = fit_law(law, np.array(SIZES), values, np.ones((1, len(SIZES))))
    x = np.log(SIZES) if law == "logarithmic" else np.array(SIZES)
    place = (x - x[0]) / (x[-1] - x[0])

    def misfit(ends):
        return np.mean((np.log(values) - np.log(np.exp(ends[0]) * (1 - place) + np.exp(ends[1]) * place)) ** 2)

    best = differential_evolution(misfit, [(-10, 25), (-10, 25)], seed=0, tol=1e-12, popsize=30)
    assert fit.variance[0] <= best.fun * (1 + 1e-9)
    assert (law_values(law, SIZES, fit.a[0], fit.b[0]) > 0).all()


positive = st.floats(1e-3, 1e9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**7), positive), min_size=3, max_size=12), st.sampled_from([*FORMULAS]))
def test_any_positive_data_give_a_finite_positive_fit_no_worse_than_a_constant(points, law):
    examples, values = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    assume(len(np.unique(examples)) > 2)
    fit = fit_law(law, examples, values, np.ones((1, len(points))))
    fitted = law_values(law, examples, fit.a[0], fit.b[0])
    assert np.isfinite([fit.a[0], fit.b[0], fit.variance[0]]).all()
    assert fit.variance[0] <= np.var(np.log(values)) * (1 + 1e-9) + 1e-12
    # a + b m of values nine decades apart cancels to float64's rounding of the larger one.
    assert (fitted > -1e-12 * values.max()).all()


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 10))
def test_another_unit_of_time_scales_the_coefficients_and_changes_no_weight(scale, seed):
    values = noisy("power", 0.2, seeds=2, seed=seed)
    laws, scaled = (compare_laws(table(each), "loss threshold") for each in (values, scale * values))
    np.testing.assert_allclose(scaled["weight"], laws["weight"], rtol=1e-6)
    np.testing.assert_allclose(scaled["a"], scale * laws["a"], rtol=1e-4)
    assert scaled["verdict"].to_list() == laws["verdict"].to_list()


def test_noise_without_a_law_is_undecided():
    generator = np.random.default_rng(0)
    for _ in range(20):
        laws = compare_laws(table(1000 * np.exp(0.5 * generator.normal(size=(3, len(SIZES))))), "loss threshold")
        assert set(laws["verdict"]) == {"undecided"}
        assert laws["weight"].sum() == pytest.approx(1)


def test_a_clear_weight_is_not_enough_where_a_seed_speaks_for_another_law():
    # Two seeds follow the linear law, one the logarithmic: the points together are clear, the resamples are not.
    values = np.stack([law_values(law, SIZES, *PLANTED[law]) for law in ("linear", "linear", "logarithmic")])
    laws = compare_laws(table(values), "loss threshold").set_index("law")
    # Only the resample that is three times the third seed is best under the logarithm, or nearly so.
    assert laws.loc["logarithmic", "best_share"] >= 1 / 27
    assert laws["best_share"].sum() == pytest.approx(1)
    assert set(laws["verdict"]) == {"undecided"}


def test_aic_is_that_of_the_gaussian_likelihood_of_the_logarithms():
    values = noisy("power", 0.2)
    laws = compare_laws(table(values), "loss threshold").set_index("law")
    residuals = np.log(values) - np.log(law_values("power", SIZES, *laws.loc["power", ["a", "b"]]))
    variance = np.mean(residuals**2)
    likelihood = -0.5 * np.sum(residuals**2 / variance + np.log(2 * math.pi * variance))
    assert laws.loc["power", "aic"] == pytest.approx(2 * 3 - 2 * likelihood)
    relative = np.exp((laws["aic"].min() - laws["aic"]) / 2)
    np.testing.assert_allclose(laws["weight"], relative / relative.sum(), rtol=1e-9)


def test_censored_values_are_left_out_and_counted():
    values = noisy("power", 0.03)
    values[1, 2] = values[:, 5] = np.nan
    laws = compare_laws(table(values), "loss threshold").set_index("law")
    assert (laws["left_out"] == 5).all()
    assert (laws["points"] == 19).all()
    without = compare_laws(table(values[:, :5], SIZES[:5]), "loss threshold").set_index("law")
    pd.testing.assert_series_equal(laws["weight"], without["weight"])


def test_a_resample_of_too_few_sizes_speaks_for_no_law():
    values = noisy("power", 0.01, seeds=2)
    values[1, 2:] = np.nan
    laws = compare_laws(table(values), "loss threshold")
    # Twice the second seed is a quarter of the weight.
    assert laws["best_share"].sum() == pytest.approx(0.75)
    assert set(laws["verdict"]) == {"undecided"}


@pytest.mark.parametrize(("sizes", "verdict"), [(3, "undecided (fewer than 5 sizes)"), (5, "logarithmic")])
def test_few_sizes_give_fits_and_weights_and_no_verdict(sizes, verdict):
    laws = compare_laws(table(noisy("logarithmic", 0.01)[:, :sizes], SIZES[:sizes]), "loss threshold").set_index("law")
    assert set(laws["verdict"]) == {verdict}
    assert laws.loc["logarithmic", "weight"] > 0.9
    assert laws[["a_low", "b_high", "best_share"]].notna().all(axis=None)


def test_one_seed_gives_fits_and_no_verdict():
    laws = compare_laws(table(noisy("linear", 0.01, seeds=1)), "loss threshold")
    assert set(laws["verdict"]) == {"undecided (one seed)"}
    assert laws[["a", "b", "aic", "weight"]].notna().all(axis=None)
    assert laws[["a_low", "a_high", "b_low", "b_high", "best_share"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([[5.0, 6.0], [7.0, 8.0]], "not applicable (fewer than 3 uncensored sizes)"),
        ([[5.0, 6.0, np.nan], [7.0, 8.0, np.nan]], "not applicable (fewer than 3 uncensored sizes)"),
        ([[np.nan] * 3] * 2, "not applicable (fewer than 3 uncensored sizes)"),
        ([[5.0] * 3] * 2, "not applicable (all values are equal)"),
    ],
)
def test_where_no_law_can_be_told_there_is_a_reason_and_no_number(values, verdict):
    laws = compare_laws(table(values, SIZES[: len(values[0])]), "loss threshold")
    assert set(laws["verdict"]) == {verdict}
    assert laws[["a", "b", "aic", "weight", "best_share"]].isna().all(axis=None)


def test_columns_and_order():
    values = noisy("power", 0.1, seeds=2)
    both = pd.concat([table(values, network="wide", width=500), table(values), table(values, width=np.nan)])
    laws = compare_laws(both, "required pre-training")
    assert list(laws.columns) == [
        *("experiment", "quantity", "network", "width", "method", "law", "points", "left_out", "a", "a_low", "a_high"),
        *("b", "b_low", "b_high", "aic", "weight", "best_share", "verdict"),
    ]
    assert laws["width"].to_list()[::3] == [50, 500, pd.NA]
    assert set(laws["quantity"]) == {"required pre-training"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="seed"), "table of loss thresholds has no column 'seed'"),
        (lambda frame: frame.head(0), "has no rows"),
        (lambda frame: frame.iloc[1:], "'net'.*no value for 1,000 examples, seed 0"),
        (lambda frame: pd.concat([frame, frame.head(1)]), "more than one value for 1,000 examples, seed 0"),
        (lambda frame: frame.assign(value=0.0), "value for 1,000 examples, seed 0, is 0;"),
        (lambda frame: frame.assign(value=np.inf), "is inf; .* finite"),
    ],
)
def test_wrong_tables_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        compare_laws(change(table(noisy("power", 0.1, seeds=2))), "loss threshold")


def test_no_resamples_are_refused():
    with pytest.raises(UserError, match="samples is 0"):
        compare_laws(table(noisy("power", 0.1, seeds=2)), "loss threshold", samples=0)
