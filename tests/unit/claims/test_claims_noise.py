"""Tables of noise, in which nothing is true or the truth is at the line: decided as seldom as the intervals promise.

The tables are handed to the measures as arrays: a data frame each would take minutes.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from goodsubnet.claims import accuracy, pretraining, theory
from goodsubnet.claims.inputs import Network
from goodsubnet.claims.statistics import FAILS, HOLDS, LEVEL, Line
from goodsubnet.errors import UserError
from goodsubnet.results.analysis import Trials

TABLES = 400
SIZES = np.array([100, 200, 400, 800, 1600])
ITERATIONS = np.array([0, 100, 200, 300, 400, 600])
GROWTH, SLOPE = Line(high=theory.LARGEST_GROWTH, ratio=True), Line(high=theory.LARGEST_SLOPE)


@pytest.fixture(autouse=True)
def arrays(monkeypatch):
    """Results of this module's tests hold arrays (networks, seeds, sizes, iterations), by the name of the column."""

    def networks_of(table, method, column, largest=1.0, what=""):
        values = table[column]
        seeds, sizes, iterations = np.arange(values.shape[1]), SIZES[: values.shape[2]], table["iterations"]
        return [
            Network(f"w{width}", width, Trials(seeds, sizes, iterations, array))
            for width, array in zip((100, 400), values, strict=False)
        ]

    for module in (accuracy, pretraining, theory):
        monkeypatch.setattr(module, "networks_of", networks_of)
    for module in (accuracy, pretraining):
        monkeypatch.setattr(module, "dense_parameters", lambda table, method, networks: (0, 1))


def noise(generator, seeds, scale=0.05, level=0.7):
    """Every cell alike, with what its seed, its network and size, and it alone deviate by."""
    shape = (2, seeds, len(SIZES), len(ITERATIONS))
    common = generator.standard_normal((1, seeds, 1, 1)) + generator.standard_normal((2, seeds, len(SIZES), 1))
    return level + scale * (common + generator.standard_normal(shape))


def results(kind="two_layer", iterations=ITERATIONS, **columns):
    table = {**columns, "iterations": iterations}
    known = {"evaluations": table, "terms": table, "accuracy": "accuracy", "greedy": ["greedy"], "name": "e"}
    return SimpleNamespace(kind=kind, **known)


def of_accuracies(measure, line, kind="two_layer", **change):
    """A question whose answer is at the line where all accuracies are alike, or changed by so much."""

    def verdict(generator, seeds):
        values = noise(generator, seeds)
        for place, amount in change.items():
            values[..., 0 if place == "first" else -1] += amount
        return measure(results(kind, accuracy=values, dense_accuracy=noise(generator, seeds)), "greedy"), line

    return verdict


def of_terms(measure, column, line, grown, scale=0.3):
    """A question on terms which grow as the line says: grown(width, size, iteration) is the logarithm."""

    def verdict(generator, seeds):
        width, size = np.log([100, 400]).reshape(2, 1, 1, 1), np.log(SIZES).reshape(1, 1, -1, 1)
        # Of one checkpoint more the largest would be at random the one or the other.
        logs = grown(width, size, np.array([0, 1])) + scale * generator.standard_normal((2, seeds, 5, 1))
        logs = logs + scale * generator.standard_normal((2, seeds, 5, 2)) * [0, 1]
        columns = {column: np.exp(logs), "initial_length": np.full(logs.shape, 10.0)}
        found = results(iterations=np.array([0, 100]), **columns)
        return measure(found), line

    return verdict


def terms_of(measure, column):
    return lambda found: measure(theory._terms(found, "greedy", column))


def plateaus(generator, seeds):
    """Two experiments alike."""
    rise = np.minimum(np.arange(12) / 8, 1)
    both = []
    for _ in range(2):
        needs = np.exp(0.2 * generator.standard_normal((2, seeds, 1, 1)))
        values = 0.5 + 0.4 * np.minimum(rise * needs, 1) * np.ones((1, 1, len(SIZES), 1))
        both.append(results(iterations=np.arange(1, 13) * 100, accuracy=values))
    return pretraining._ratio_of_plateaus(*both), Line(low=1, ratio=True)


def of_needs(measure, line, wider):
    """Needs that are the same at all sizes but the largest, and so many times longer in the wider network."""

    def verdict(generator, seeds):
        at = np.arange(0, 605, 5)
        scatter = 0.15 * (generator.standard_normal((2, seeds, 1)) + generator.standard_normal((2, seeds, len(SIZES))))
        needs = 130 * np.exp(scatter) * np.array([1, wider]).reshape(2, 1, 1)
        needs[..., -1] = 400
        values = 0.9 * (1 - np.exp(-at / needs[..., None]))
        return measure(results(iterations=at, accuracy=values), "greedy"), line

    return verdict


def last_third(found, method):
    (network,) = accuracy.networks_of(found.evaluations, method, "accuracy")[:1]
    return accuracy._last_third(network)


CASES = {
    "1 mean": of_accuracies(accuracy._gain, Line(low=0.01), last=0.01),
    "1 weakest cell": of_accuracies(accuracy._weakest_gain, Line(low=0.01), last=0.01),
    "2 needs": of_needs(pretraining._slope_in_examples, Line(low=0), 1),
    "6 needs": of_needs(pretraining._ratio_of_needs, pretraining.SAME_NEED, 1.25),
    "8 training": of_terms(terms_of(theory._growth, "x"), "x", GROWTH, lambda w, s, t: np.log(2) * t, 0.1),
    "11": of_accuracies(last_third, Line(-accuracy.FLAT_BAND, accuracy.FLAT_BAND), last=accuracy.FLAT_BAND),
    "2 red line": of_accuracies(pretraining._slope_in_examples, Line(low=0)),
    "2 winning ticket": of_accuracies(pretraining._slope_in_examples, Line(low=0), "deep"),
    "4 accuracy": of_accuracies(accuracy._narrowest_minus_widest, Line(low=0)),
    "4 terms": of_terms(
        lambda found: theory._widest_over_narrowest(found, "greedy", "x"),
        "x",
        Line(low=1, ratio=True),
        lambda w, s, t: 0,
    ),
    "5": of_accuracies(accuracy._earlier_minus_dense, Line(low=0)),
    "6 width": of_accuracies(pretraining._ratio_of_needs, pretraining.SAME_NEED),
    "6 architecture": of_accuracies(pretraining._ratio_of_needs, pretraining.SAME_NEED, "deep"),
    "8 N": of_terms(terms_of(theory._slope_in_width, "x"), "x", SLOPE, lambda w, s, t: 0.1 * w + 9 * t),
    "8 m": of_terms(terms_of(theory._slope_in_examples, "x"), "x", SLOPE, lambda w, s, t: 0.1 * s + 9 * t),
    "13": of_accuracies(accuracy._relative_smallest_minus_largest, Line(low=0), "deep"),
    "12": plateaus,
}


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("name", CASES)
def test_noise_is_decided_as_seldom_as_promised(name, seeds):
    generator = np.random.default_rng(seeds)
    decided = []
    for _ in range(TABLES):
        try:
            measured, line = CASES[name](generator, seeds)
        except UserError:
            continue
        decided.append(measured.estimate.verdict(line)[0])
    wrong = sum(verdict in (HOLDS, FAILS) for verdict in decided)
    assert wrong <= stats.binom.ppf(1 - 1e-4, TABLES, LEVEL)
