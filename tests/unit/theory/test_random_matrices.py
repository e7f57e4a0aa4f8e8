"""Singular values of random matrices against exact laws and planted fits; what is not defined is never a number."""

import itertools
import json
import math
import operator
from decimal import Decimal

import condition_number_table as condition_number_table_script
import condition_numbers as condition_numbers_script
import figure as figure_script
import numpy as np
import pandas as pd
import pytest
import singular_value_table as singular_value_table_script
import smallest_singular_values as smallest_singular_values_script
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from threadpoolctl import threadpool_limits

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts
from goodsubnet.theory import NotApplicable, random_matrices
from goodsubnet.theory.random_matrices import (
    as_records,
    condition_number_table,
    condition_numbers,
    marchenko_pastur,
    singular_value_fits,
    singular_value_table,
    singular_values,
    smallest_singular_values,
    tanh_features,
)
from goodsubnet.theory.text import as_csv

# Mean and standard deviation of the Tracy-Widom law of order 1 (Bornemann, On the numerical evaluation of
# distributions in random matrix theory, 2010).
TRACY_WIDOM_MEAN, TRACY_WIDOM_STD = -1.2065335745820, math.sqrt(1.607781034581)


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """On matrices this small the threads of a busy machine wait for each other: 45 s for this file instead of 8."""
    with threadpool_limits(1):
        yield


def planted(values, examples=1, inputs=1, draws=1):
    """Return the draws whose value at each width is that of a function of (width, draw)."""
    rows = [
        (examples, inputs, width, draw, values(width, draw)) for width in (100, 200, 400, 900) for draw in range(draws)
    ]
    return pd.DataFrame(rows, columns=["examples", "inputs", "width", "draw", "value"])


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_singular_values_are_roots_of_the_eigenvalues_in_either_orientation(rows, columns, seed):
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    found = singular_values(matrix)
    np.testing.assert_allclose(found, np.linalg.svd(matrix, compute_uv=False), rtol=1e-12, atol=1e-13 * found[0])
    # Eigenvalues of [[0, A], [A^T, 0]] are plus and minus the singular values: no square, and another algorithm.
    both = np.block([[np.zeros((rows, rows)), matrix], [matrix.T, np.zeros((columns, columns))]])
    np.testing.assert_allclose(found, np.linalg.eigvalsh(both)[::-1][: min(rows, columns)], atol=1e-13 * found[0])


@pytest.mark.parametrize("shape", [(20, 20), (20, 300), (300, 20)])
def test_a_small_singular_value_that_a_gram_matrix_loses_is_found(shape):
    rng = np.random.default_rng(0)
    wanted = np.geomspace(1, 1e-11, 20)
    left, right = (np.linalg.qr(rng.normal(size=(size, 20)))[0] for size in shape)
    matrix = left * wanted @ right.T
    # The matrix itself is rounded to float64: 20 times its precision is what that can move a singular value by.
    np.testing.assert_allclose(singular_values(matrix), wanted, rtol=0, atol=20 * np.finfo(float).eps)
    gram = matrix @ matrix.T if shape[0] == 20 else matrix.T @ matrix
    assert not np.isclose(np.sqrt(abs(np.linalg.eigvalsh(gram)[0])), wanted[-1], rtol=0.1, atol=0)


def test_features_are_tanh_of_inner_products_with_inputs_of_length_one():
    rng = np.random.default_rng(3)
    features = tanh_features(4, 3, 5, np.random.default_rng(3))
    x, w = rng.normal(size=(4, 3)).tolist(), rng.normal(size=(5, 3)).tolist()
    wanted = [[math.tanh(sum(map(operator.mul, a, b)) / math.hypot(*a)) for b in w] for a in x]
    np.testing.assert_allclose(features, wanted, rtol=1e-13)
    assert features.dtype == np.float64


def test_one_example_has_the_length_that_the_normal_law_gives():
    """With m = 1 sigma^2 is a sum of N squares of tanh(g), g ~ N(0, 1), because inputs have length 1."""
    first, second = (
        quad(lambda g, power=power: np.tanh(g) ** power * stats.norm.pdf(g), -12, 12)[0] for power in (2, 4)
    )
    width, draws = 4000, 20
    squares = smallest_singular_values(1, [7], [width], draws)["value"] ** 2
    error = math.sqrt((second - first**2) / (width * draws))
    assert squares.mean() / width == pytest.approx(first, abs=4 * error)


def edges(examples, width):
    """Return centre and scale of the smallest and largest eigenvalue of A A^T, A Gaussian (Johnstone 2001)."""
    root = math.sqrt(width)
    for sign in (-1, 1):
        edge = root + sign * math.sqrt(examples)
        yield edge**2, abs(edge) * abs(1 / math.sqrt(examples) + sign / root) ** (1 / 3)


@pytest.mark.parametrize(("examples", "width"), [(100, 400), (200, 400), (150, 1500)])
def test_gaussian_matrices_end_at_the_edges_of_marchenko_and_pastur(examples, width):
    draws = 30
    rng = np.random.default_rng([examples, width])
    values = np.array([singular_values(rng.normal(size=(examples, width)))[[-1, 0]] for _ in range(draws)])
    for (centre, scale), sign, extremes in zip(edges(examples, width), (-1, 1), values.T**2, strict=True):
        standardised = sign * (extremes - centre) / scale
        # Four standard errors, and the finite size, of order m^(-2/3).
        allowed = 4 * TRACY_WIDOM_STD / math.sqrt(draws) + 3 * examples ** (-2 / 3)
        assert standardised.mean() == pytest.approx(TRACY_WIDOM_MEAN, abs=allowed)
        # The singular values in units of sqrt(N), to first order.
        reach = (6 * TRACY_WIDOM_STD - TRACY_WIDOM_MEAN) * scale / (2 * math.sqrt(centre * width))
        assert abs(np.sqrt(extremes / width) - (1 + sign * math.sqrt(examples / width))).max() < reach


def test_condition_numbers_meet_the_law_and_grow_with_the_examples():
    width, draws = 400, 12
    previous = 1.0
    for examples in (25, 50, 100, 200):
        values = condition_numbers(examples, [width], draws)["value"]
        (low, low_scale), (high, high_scale) = edges(examples, width)
        # To first order in the deviations of both edges, which are sign * scale * (Tracy-Widom).
        relative = TRACY_WIDOM_MEAN * (high_scale / high + low_scale / low) / 2
        spread = TRACY_WIDOM_STD * math.hypot(high_scale / high, low_scale / low) / 2
        law = marchenko_pastur(examples, width)
        allowed = 4 * spread / math.sqrt(draws) + relative**2
        assert np.log(values / law).mean() == pytest.approx(relative, abs=allowed)
        assert np.median(values) > previous
        previous = np.median(values)


def test_square_gaussian_matrices_have_edelmans_condition_numbers():
    """kappa/n of large real square matrices has the density (2x + 4)/x^3 exp(-2/x - 2/x^2) (Edelman 1988)."""

    def moment(power):
        def integrand(u):  # x = exp(u)
            return u**power * (2 + 4 * math.exp(-u)) * math.exp(-u) * math.exp(-2 * math.exp(-u) - 2 * math.exp(-2 * u))

        return quad(integrand, -5, 60)[0]

    assert moment(0) == pytest.approx(1, abs=1e-9)
    assert moment(1) == pytest.approx(1.537, abs=1e-3)
    size, draws = 100, 100
    logs = np.log(condition_numbers(size, [size], draws)["value"] / size)
    error = math.sqrt((moment(2) - moment(1) ** 2) / draws)
    assert logs.mean() == pytest.approx(moment(1), abs=4 * error)
    assert math.isinf(marchenko_pastur(size, size))


@given(examples=st.integers(1, 10**6), extra=st.integers(1, 10**6))
def test_the_law_is_the_quotient_of_the_edges(examples, extra):
    width = examples + extra
    high, low = (Decimal(width).sqrt() + sign * Decimal(examples).sqrt() for sign in (1, -1))
    assert marchenko_pastur(examples, width) == pytest.approx(float(high / low), rel=1e-13)
    assert marchenko_pastur(examples, width + 1) < marchenko_pastur(examples, width)


def test_more_examples_than_neurons_is_a_value_of_its_own_and_text_in_files():
    smallest, conditions = smallest_singular_values(6, [4], [5, 6], 2), condition_numbers(6, [5, 6], 2)
    for draws, table in ((smallest, singular_value_table), (conditions, condition_number_table)):
        narrow = draws["width"] < 6
        assert all(isinstance(value, NotApplicable) for value in draws.loc[narrow, "value"])
        assert all(isinstance(value, float) and value > 0 for value in draws.loc[~narrow, "value"])
        again = pd.DataFrame(json.loads(json.dumps(as_records(draws), allow_nan=False)))
        assert (again.loc[narrow, "value"] == "not applicable (more examples than neurons)").all()
        pd.testing.assert_frame_equal(table(again), table(draws))
        first, second, _ = as_csv(table(draws)).decode().split("\n")[1:]
        assert "not applicable (more examples than neurons)" in first
        assert not any(part.replace(".", "").isdigit() for part in first.split(",")[len(draws.columns) - 1 :])
        assert "not applicable" not in second
    assert isinstance(marchenko_pastur(6, 5), NotApplicable)
    (fit,) = singular_value_fits(smallest_singular_values(6, [4], [3, 5], 2)).to_dict("records")
    assert (fit["widths"], fit["draws"]) == (0, 0)
    assert all(
        isinstance(fit[name], NotApplicable) for name in ("c_sqrt", "error_difference", "exponent", "low", "high")
    )


def test_a_value_depends_on_nothing_but_its_own_coordinates():
    for key, few, many in (
        (
            ["inputs", "width", "draw"],
            smallest_singular_values(5, [4], [9], 2),
            smallest_singular_values(5, [3, 4], [8, 9], 3),
        ),
        (["width", "draw"], condition_numbers(5, [9], 2), condition_numbers(5, [4, 8, 9], 3)),
    ):
        both = few.merge(many, on=["examples", *key])
        assert len(both) == len(few) == 2
        assert (both["value_x"] == both["value_y"]).all()
        assert many.loc[many["width"] >= 5, "value"].is_unique
    other = smallest_singular_values(5, [4], [9], 2, seed=1)
    assert set(other["value"]).isdisjoint(smallest_singular_values(5, [4], [9], 2)["value"])


def test_every_matrix_has_a_stream_of_its_own(monkeypatch):
    keys = []

    def recorded(*key):
        keys.append(key)
        return random_generator(*key)

    monkeypatch.setattr(random_matrices, "random_generator", recorded)
    rows = 0
    for examples, seed in itertools.product((3, 4), (0, 1)):
        rows += len(smallest_singular_values(examples, [4, 5], [5, 6], 2, seed))
        rows += len(condition_numbers(examples, [5, 6], 2, seed))
    assert len(set(keys)) == len(keys) == rows


@given(c=st.floats(1e-3, 1e3), examples=st.integers(2, 90), exponent=st.floats(0.1, 2))
@settings(max_examples=30, deadline=None)
def test_fits_recover_what_was_planted(c, examples, exponent):
    curves = {"c_sqrt": np.sqrt, "c_difference": lambda width: np.sqrt(width) - np.sqrt(examples)}
    for name, curve in curves.items():
        (fit,) = singular_value_fits(planted(lambda n, _, curve=curve: c * curve(n), examples, draws=2)).to_dict(
            "records"
        )
        assert fit[name] == pytest.approx(c, rel=1e-10)
        errors = {key: fit[key.replace("c_", "error_")] for key in curves}
        assert errors[name] < 1e-10 < min(value for key, value in errors.items() if key != name)
    (fit,) = singular_value_fits(planted(lambda n, _: c * n**exponent, examples)).to_dict("records")
    assert [fit[name] for name in ("exponent", "low", "high")] == pytest.approx([exponent] * 3, abs=1e-6)


def test_factor_is_the_least_squares_one_of_the_logarithm_and_its_error_that_against_the_means():
    rng = np.random.default_rng(0)
    draws = planted(lambda n, _: n**0.6 * rng.lognormal(0, 0.3), examples=50, draws=3)
    (fit,) = singular_value_fits(draws).to_dict("records")
    for name, curve in (("sqrt", np.sqrt(draws["width"])), ("difference", np.sqrt(draws["width"]) - np.sqrt(50))):
        best = minimize_scalar(lambda log_c, curve=curve: (np.log(draws["value"] / curve) - log_c).pow(2).sum())
        assert fit[f"c_{name}"] == pytest.approx(math.exp(best.x), rel=1e-6)
        squares = []
        for width, group in draws.groupby("width"):
            value = fit[f"c_{name}"] * (math.sqrt(width) - (math.sqrt(50) if name == "difference" else 0))
            squares.append((value / group["value"].mean() - 1) ** 2)
        assert fit[f"error_{name}"] == pytest.approx(math.sqrt(sum(squares) / 4))
    assert (fit["widths"], fit["draws"]) == (4, 3)


def test_interval_of_the_exponent_is_that_of_ordinary_least_squares():
    rng = np.random.default_rng(1)
    draws = planted(lambda n, _: n**0.5 * rng.lognormal(0, 0.1), draws=5)
    design = np.column_stack([np.ones(20), np.log(draws["width"])])
    y = np.log(draws["value"].to_numpy())
    solution, (residual,), *_ = np.linalg.lstsq(design, y)
    error = math.sqrt(residual / 18 * np.linalg.inv(design.T @ design)[1, 1])
    for confidence in (0.95, 0.5):
        (fit,) = singular_value_fits(draws, confidence).to_dict("records")
        assert fit["exponent"] == pytest.approx(solution[1])
        assert fit["high"] - fit["low"] == pytest.approx(2 * error * stats.t(18).ppf((1 + confidence) / 2))
        assert (fit["low"] + fit["high"]) / 2 == pytest.approx(fit["exponent"])


def test_interval_covers_the_exponent_at_its_rate():
    rng = np.random.default_rng(2)
    trials = [
        planted(lambda n, _: 0.3 * n**0.5 * rng.lognormal(0, 0.2), inputs=trial + 1, draws=3) for trial in range(500)
    ]
    fits = singular_value_fits(pd.concat(trials))
    covered = ((fits["low"] <= 0.5) & (fits["high"] >= 0.5)).sum()
    # Of 500 with probability 0.95: outside of this range once in 10,000 such tests.
    low, high = stats.binom(500, 0.95).ppf([5e-5, 1 - 5e-5])
    assert low <= covered <= high


def test_too_few_widths_leave_the_exponent_or_its_interval_open():
    draws = planted(lambda n, draw: math.sqrt(n) * (1 + draw), draws=3)
    (two,) = singular_value_fits(draws[draws["width"] < 300]).to_dict("records")
    assert two["exponent"] == pytest.approx(0.5)
    assert str(two["low"]) == str(two["high"]) == "not applicable (fewer than 3 widths)"
    (one,) = singular_value_fits(draws[draws["width"] < 150]).to_dict("records")
    assert one["c_sqrt"] == pytest.approx(6 ** (1 / 3))
    assert str(one["exponent"]) == str(one["low"]) == "not applicable (one width)"


def test_a_width_equal_to_the_examples_leaves_no_factor_of_the_difference():
    (fit,) = singular_value_fits(planted(lambda n, _: math.sqrt(n), examples=100)).to_dict("records")
    assert fit["c_sqrt"] == pytest.approx(1)
    assert isinstance(fit["c_difference"], NotApplicable)
    assert isinstance(fit["error_difference"], NotApplicable)


def test_tables_have_the_statistics_of_the_draws():
    draws = pd.concat([condition_numbers(examples, [8, 12], 5) for examples in (4, 8)])
    table = condition_number_table(draws)
    grouped = draws.groupby(["examples", "width"])["value"]
    assert table[["examples", "width"]].to_numpy().tolist() == [[4, 8], [4, 12], [8, 8], [8, 12]]
    assert (table["draws"] == 5).all()
    for name, statistic in (("mean", "mean"), ("standard_deviation", "std"), ("median", "median"), ("min", "min")):
        np.testing.assert_allclose(table[name], getattr(grouped, statistic)())
    assert (table["max"].to_numpy() == grouped.max().to_numpy()).all()
    assert table["marchenko_pastur"][2] == math.inf
    smallest = singular_value_table(smallest_singular_values(4, [9], [8], 1))
    assert str(smallest["standard_deviation"][0]) == "not applicable (one draw)"


def test_features_of_too_few_inputs_are_refused_where_rounding_hides_the_value():
    with pytest.raises(UserError, match=r"inputs is 1: .* on 5 examples are linearly dependent in float64"):
        smallest_singular_values(5, [20, 1], [50], 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smallest_singular_values(0, [1], [1], 1), "examples: 0; each must be at least 1"),
        (lambda: smallest_singular_values(1, [3, 0], [1], 1), "inputs: 3, 0; each"),
        (lambda: condition_numbers(1, [], 1), "widths: none given; each"),
        (lambda: condition_numbers(1, [1], 0), "draws: 0; each"),
    ],
)
def test_counts_below_one_are_refused(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_scripts_measure_draw_and_tabulate(tmp_path):
    def execute(script, output, settings, *arguments):
        script.main([*arguments, "--settings", json.dumps(settings), "--output", str(tmp_path / output)])

    style = {"style": {"dpi": 40}}
    smallest, conditions = (
        [str(tmp_path / what / f"examples-{m}.json") for m in (4, 8)] for what in ("smallest", "kappa")
    )
    for examples, one, other in zip(("4", "8"), smallest, conditions, strict=True):
        grid = {"inputs": [5, 9], "widths": [20, 40, 80], "draws": 3}
        execute(smallest_singular_values_script, one, grid, "--examples", examples)
        execute(condition_numbers_script, other, {"widths": [6, 20], "draws": 2}, "--examples", examples)
    execute(singular_value_table_script, "tables/singular_values.csv", {}, "--draws", *smallest)
    execute(condition_number_table_script, "tables/condition_numbers.csv", {}, "--draws", *conditions)
    tables = [
        str(tmp_path / "tables" / name)
        for name in ("singular_values.csv", "singular_values.fits.csv", "condition_numbers.csv")
    ]
    execute(figure_script, "figures/figure2.png", style, "--figure", "figure2", "--tables", *tables[:2])
    execute(figure_script, "figures/figure3.png", style, "--figure", "figure3", "--tables", tables[2])
    names = {path.name for folder in ("tables", "figures") for path in (tmp_path / folder).iterdir()}
    assert names == {
        *(f"singular_values.{kind}" for kind in ("csv", "fits.csv", "provenance.json")),
        *(f"condition_numbers.{kind}" for kind in ("csv", "provenance.json")),
        *(f"{name}.{kind}" for name in ("figure2", "figure3") for kind in ("png", "pdf", "provenance.json")),
    }
    recorded = artifacts.read_provenance(tables[0])
    assert set(recorded["inputs"]) == {"examples-4", "examples-8"}
    recorded = artifacts.read_provenance(tmp_path / "figures/figure2.png")
    paths = {name: each["path"] for name, each in recorded["inputs"].items()}
    assert paths == {"singular_values": tables[0], "singular_value_fits": tables[1]}
    points, fits, map_points = map(pd.read_csv, tables)
    draws = pd.concat([smallest_singular_values(m, [5, 9], [20, 40, 80], 3) for m in (4, 8)])
    np.testing.assert_allclose(points["mean"], singular_value_table(draws)["mean"], rtol=1e-5)
    np.testing.assert_allclose(fits["exponent"], singular_value_fits(draws)["exponent"], rtol=1e-5)
    assert list(fits.columns) == list(singular_value_fits(draws).columns)
    narrow = map_points[map_points["examples"] > map_points["width"]]
    assert narrow["median"].tolist() == ["not applicable (more examples than neurons)"]
