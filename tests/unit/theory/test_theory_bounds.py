"""The bounds: against brute force, against selections that attain them or nearly do, and at their borders."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsubnet.errors import UserError
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.bounds import (
    certified,
    contraction_rate,
    harmonic,
    lemma1,
    steps_for_error,
    threshold,
    trivial_loss,
    variance_form,
    variance_recursion,
    violations,
)
from goodsubnet.theory.geometry import diameter, mean_output, variance
from goodsubnet.theory.terms import measured_terms
from goodsubnet.training.losses import mean_loss

LOSSES = ["squared", "logistic"]


def networks(generator: np.random.Generator, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of a few neurons on a few examples, from tame to wild, and targets."""
    examples, neurons = generator.integers(1, 12), generator.integers(1, 25)
    outputs = generator.standard_normal((examples, neurons)) * 10.0 ** generator.uniform(-2, 2)
    if generator.random() < 0.5:
        outputs *= generator.standard_cauchy(neurons)
    if generator.random() < 0.3:
        outputs += 10 * generator.standard_normal((examples, 1))
    targets = generator.integers(0, 2, examples).astype(np.float64)
    return outputs, targets if loss == "logistic" else 2 * targets - 1


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(LOSSES), st.integers(0, 10**9))
def test_no_selection_violates_a_bound(loss: str, seed: int) -> None:
    """Lemma 1 and the variance forms, every term measured, on 40 steps of the true algorithm."""
    outputs, targets = networks(np.random.default_rng(seed), loss)
    selection = greedy_forward_selection(outputs, targets, 40, loss)
    found = measured_terms(outputs, targets, selection.neurons, loss)
    measured = np.array(found["losses"])
    first = lemma1(measured[0], found["dense_loss"], found["squared_diameter"], 40, loss)
    second = variance_form(found["dense_loss"], found["variance"], 40, loss)
    assert not violations(measured, first).any()
    assert not violations(measured, second).any()
    if loss == "squared":
        third = variance_recursion(found["dense_loss"], found["variance"], 40)
        assert not violations(measured, third).any()
        # Sharper than the variance form, and no sharper than the mean of random subnetworks.
        assert not violations(third, second).any()
        assert not violations(found["dense_loss"] + found["variance"] / (2 * np.arange(1, 41)), third).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_random_neuron_costs_what_the_proof_says(loss: str) -> None:
    """The mean over all neurons of l((1 - 1/k) z + q/k): exactly V/(2k^2) above, or at most a quarter of it."""
    outputs, targets = networks(np.random.default_rng(8), loss)
    center, spread = mean_output(outputs), variance(outputs) / len(targets)
    point = outputs @ np.random.default_rng(1).dirichlet(np.ones(outputs.shape[1]))
    for k in (1, 2, 7, 50):
        mixed = [mean_loss((1 - 1 / k) * point + q / k, targets, loss) for q in outputs.T]
        excess = np.mean(mixed) - mean_loss((1 - 1 / k) * point + center / k, targets, loss)
        if loss == "squared":
            assert excess == pytest.approx(spread / (2 * k**2), rel=1e-9)
        else:
            assert 0 <= excess <= spread / (8 * k**2)


def test_the_formulas_are_those_of_the_paper_term_by_term() -> None:
    first, dense, diameter2, spread = 0.7, 0.2, 9.0, 1.5
    for loss, curvature in (("squared", 1.0), ("logistic", 0.25)):
        for k in (1, 2, 3, 200):
            h = math.fsum(1 / i for i in range(1, k + 1))
            expected = first / k + (1 - 1 / k) * dense + curvature * diameter2 / (2 * k) * (h - 1)
            assert lemma1(first, dense, diameter2, 200, loss)[k - 1] == pytest.approx(expected, rel=1e-13)
            expected = dense + curvature * spread * h / (2 * k)
            assert variance_form(dense, spread, 200, loss)[k - 1] == pytest.approx(expected, rel=1e-13)
    assert harmonic(4).tolist() == pytest.approx([1, 1.5, 11 / 6, 25 / 12])


def test_the_recursion_without_a_dense_loss_has_no_logarithm() -> None:
    assert variance_recursion(0.0, 3.0, 50) == pytest.approx(3 / (2 * np.arange(1, 51)), rel=1e-12)


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 100), st.floats(0, 100), st.sampled_from(LOSSES))
def test_the_bounds_grow_with_each_of_their_terms(low: float, high: float, a: float, b: float, loss: str) -> None:
    low, high = sorted((low, high))
    a, b = sorted((a, b))
    pairs = [
        (lemma1(low, a, b, 30, loss), lemma1(high, a, b, 30, loss)),
        (lemma1(b, low, a, 30, loss), lemma1(b, high, a, 30, loss)),
        (lemma1(low, high, a, 30, loss), lemma1(low, high, b, 30, loss)),
        (variance_form(low, b, 30, loss), variance_form(high, b, 30, loss)),
        (variance_form(high, a, 30, loss), variance_form(high, b, 30, loss)),
        (variance_recursion(low, b, 30), variance_recursion(high, b, 30)),
        (variance_recursion(high, a, 30), variance_recursion(high, b, 30)),
    ]
    for smaller, larger in pairs:
        assert (smaller <= larger * (1 + 1e-12)).all()
    # Over k the part above the dense loss falls: V H_k/(2k) does from the first step on.
    assert (np.diff(variance_form(low, b, 30, loss)) <= 1e-12 * (low + b)).all()


def test_violations_are_seen_down_to_the_slack_and_nan_is_one() -> None:
    bound = np.ones(4)
    measured = np.array([1 + 5e-13, 1 + 5e-12, np.nan, 0.5])
    assert violations(measured, bound).tolist() == [False, True, True, False]


@pytest.mark.parametrize("loss", LOSSES)
@given(counts=st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(any))
def test_the_trivial_predictor_is_the_best_constant(loss: str, counts: tuple[int, int]) -> None:
    targets = np.repeat([0.0, 1.0], counts) if loss == "logistic" else np.repeat([-1.0, 1.0], counts)
    best = trivial_loss(targets, loss)
    constants = np.linspace(-12, 12, 2401)
    losses = [mean_loss(np.full(len(targets), c), targets, loss) for c in constants]
    assert best <= min(losses) + 1e-12
    assert best == pytest.approx(min(losses), abs=1e-4)


@settings(deadline=None)
@given(st.floats(1e-4, 0.5), st.floats(0.01, 1e3))
def test_the_steps_for_an_error_meet_it_and_fewer_do_not(error: float, diameter2: float) -> None:
    steps = steps_for_error(error, diameter2)
    if isinstance(steps, NotApplicable):
        assert 2 * error / diameter2 > math.log(3) / 3  # the largest ln(k)/k of whole k
    else:
        assert steps >= math.e * (1 - 1e-7)
        assert diameter2 * math.log(steps) / (2 * steps) == pytest.approx(error, rel=1e-6)
        assert diameter2 * math.log(2 * steps) / (4 * steps) < error


def test_steps_at_the_borders() -> None:
    assert steps_for_error(0.5 / math.e, 1.0) == pytest.approx(math.e, rel=1e-6)
    assert str(steps_for_error(0.1, 0.0)) == "not applicable (any number of steps meets this error)"
    for wrong in (0, -1, math.nan):
        with pytest.raises(UserError, match="must be above 0"):
            steps_for_error(wrong, 1.0)


def test_the_rate_is_that_of_the_summed_loss_in_our_units() -> None:
    """rho = c eta sigma^2/N^2 with the raw step eta on the summed loss; ours is lr N on the mean loss."""
    lr, sigma, width, examples = 0.3, 5.0, 400, 60
    eta = lr * width / examples
    assert contraction_rate(lr, sigma, width, examples, 0.5) == pytest.approx(0.5 * eta * sigma**2 / width**2)


def test_training_only_the_second_layer_contracts_at_least_at_the_rate_with_c_1() -> None:
    """With a fixed, gradient descent on b is linear: the residual shrinks by 1 - eta sigma_min^2/N^2 or more."""
    generator = np.random.default_rng(2)
    examples, width = 12, 60
    hidden = np.tanh(generator.standard_normal((examples, width)))
    values = np.linalg.svd(hidden, compute_uv=False)
    lr = 0.5 * width * examples / values[0] ** 2
    rate = contraction_rate(lr, values[-1], width, examples)
    b, y = generator.standard_normal(width), generator.choice([-1.0, 1.0], examples)
    losses = []
    for _ in range(200):
        residual = hidden @ b / width - y
        losses.append(residual @ residual / (2 * examples))
        b -= lr * width * hidden.T @ residual / (width * examples)
    assert (np.array(losses) <= losses[0] * (1 - rate) ** np.arange(200) * (1 + 1e-9)).all()


def test_the_threshold_is_where_the_dense_loss_stops_to_dominate() -> None:
    steps, initial, first, diameter2, rate = 50, 0.5, 0.45, 3.0, 0.01
    rest = first + diameter2 / 2 * (harmonic(steps)[-1] - 1)
    dense = initial * (1 - rate) ** np.arange(2000)
    after = int(np.flatnonzero((steps - 1) * dense <= rest)[0])
    assert math.ceil(threshold(steps, initial, first, diameter2, rate)) == after
    assert threshold(2, initial, first, diameter2, rate) == 0
    assert threshold(steps, initial, first, diameter2, 0.0) == math.inf
    for wrong in (-0.1, 1.0, math.nan):
        with pytest.raises(UserError, match="contraction rate"):
            threshold(steps, initial, first, diameter2, wrong)


def test_what_certifies() -> None:
    assert certified(0.2, 0.16, 0.5, 0.1)
    assert not certified(0.2, 0.14, 0.5, 0.1)  # too far above the dense loss
    assert not certified(0.51, 0.49, 0.5, 0.1)  # no better than the trivial predictor
    assert not certified(math.nan, 0.1, 0.5, 0.1)


def test_the_certificate_of_the_documentation_runs() -> None:
    page = (Path(__file__).parents[3] / "docs/theory.md").read_text()
    (code,) = page.split("```python\n")[1:]
    generator = np.random.default_rng(5)
    targets = generator.choice([-1.0, 1.0], 30)
    names = {"outputs": targets[:, None] + generator.standard_normal((30, 50)), "targets": targets}
    exec(code.split("```")[0], names)
    assert names["enough"] is True
    losses = greedy_forward_selection(names["outputs"], targets, 200, "squared").losses
    assert losses[-1] <= names["bound"] < names["dense"] + 0.05


def test_diameter_and_variance_are_of_the_same_unit_as_the_loss() -> None:
    outputs, targets = networks(np.random.default_rng(3), "squared")
    found = measured_terms(outputs, targets, np.array([0]), "squared")
    assert found["squared_diameter"] == pytest.approx(diameter(outputs) ** 2 / len(targets))
    assert found["variance"] == pytest.approx(variance(outputs) / len(targets))
