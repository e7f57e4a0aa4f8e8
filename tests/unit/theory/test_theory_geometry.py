"""Diameter, variance and tangent kernel, against brute force in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import forward, initial_weights, neuron_outputs
from goodsubnet.theory import geometry, tangent


def farthest(outputs: np.ndarray) -> float:
    return pdist(outputs.T.astype(np.float64)).max() if outputs.shape[1] > 1 else 0.0


@pytest.mark.parametrize("cells", [64, 2**23])
@pytest.mark.parametrize("kind", ["gaussian", "heavy tails", "one direction", "sphere", "far from the origin", "pairs"])
def test_the_diameter_is_that_of_all_pairs(kind: str, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In many blocks, and in one; where the first guess is right, and where all neurons are equally far out."""
    monkeypatch.setattr(geometry, "CELLS", cells)
    generator = np.random.default_rng(0)
    for examples, neurons in [(1, 1), (1, 50), (3, 2), (7, 90), (40, 31)]:
        outputs = generator.standard_normal((examples, neurons))
        if kind == "heavy tails":
            outputs *= generator.standard_cauchy(neurons)
        elif kind == "one direction":
            outputs = np.outer(np.ones(examples), generator.standard_normal(neurons))
        elif kind == "sphere":
            outputs /= np.linalg.norm(outputs, axis=0)
        elif kind == "far from the origin":
            outputs += 1e4
        elif kind == "pairs":
            outputs = np.repeat(outputs[:, : (neurons + 1) // 2], 2, axis=1)[:, :neurons]
        for precision in (np.float32, np.float64):
            exact = outputs.astype(precision)
            assert geometry.diameter(exact) == pytest.approx(farthest(exact), rel=1e-12, abs=1e-300)


def test_the_diameter_takes_the_layout_that_the_networks_have() -> None:
    weights = initial_weights(70, 5, "unit", np.random.default_rng(1))
    outputs = neuron_outputs(weights, np.random.default_rng(2).random((30, 5), np.float32), "tanh")
    assert outputs.flags.f_contiguous
    assert geometry.diameter(outputs) == pytest.approx(farthest(outputs), rel=1e-12)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_lemma_2_no_point_of_the_hull_is_farther_than_two_vertices(examples: int, neurons: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    outputs = generator.standard_normal((examples, neurons)) * generator.standard_cauchy(neurons)
    mixtures = outputs @ generator.dirichlet(np.full(neurons, 0.3), size=2).T
    distance = np.linalg.norm(mixtures[:, 0] - mixtures[:, 1])
    rounding = 1e-12 * np.abs(outputs).max()
    assert distance <= geometry.diameter(outputs) * (1 + 1e-12) + rounding


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_the_variance_is_numpys_and_at_most_half_the_squared_diameter(examples: int, neurons: int, seed: int) -> None:
    """V = (1/2N^2) sum_ij ||phi_i - phi_j||^2 <= D^2/2."""
    outputs = np.random.default_rng(seed).standard_normal((examples, neurons))
    variance = geometry.variance(outputs)
    assert variance == pytest.approx(outputs.var(axis=1).sum(), rel=1e-12, abs=1e-300)
    assert variance <= geometry.diameter(outputs) ** 2 / 2 * (1 + 1e-12)


@pytest.mark.parametrize("neurons", [1, 8])
def test_neurons_that_are_alike_have_no_diameter(neurons: int) -> None:
    outputs = np.repeat(np.random.default_rng(0).standard_normal((5, 1)).astype(np.float32), neurons, axis=1)
    assert geometry.diameter(outputs) == 0
    assert geometry.variance(outputs) == pytest.approx(0, abs=1e-30)


@pytest.mark.parametrize("function", [geometry.diameter, geometry.variance, geometry.mean_output])
def test_outputs_without_meaning_are_refused(function) -> None:
    with pytest.raises(UserError, match="at least one of each"):
        function(np.empty((4, 0)))
    for wrong in (np.nan, np.inf):
        outputs = np.ones((3, 4))
        outputs[1, 2] = wrong
        with pytest.raises(UserError, match="not a finite number"):
            function(outputs)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_tangent_kernel_is_that_of_automatic_differentiation(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tangent, "CELLS", 60)
    generator = np.random.default_rng(3)
    weights, inputs = initial_weights(40, 6, "unit", generator), generator.standard_normal((9, 6))
    leaves = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in weights.items()}
    gradients = []
    for output in forward(leaves, torch.tensor(inputs), activation):
        parts = torch.autograd.grad(output, list(leaves.values()), retain_graph=True)
        gradients.append(np.concatenate([part.numpy().ravel() for part in parts]))
    expected = np.array(gradients) @ np.array(gradients).T
    kernel = tangent.tangent_kernel(weights, inputs, activation)
    np.testing.assert_allclose(kernel, expected, rtol=1e-10, atol=1e-12 * expected.max())
    largest = np.linalg.eigvalsh(expected)[-1]
    for loss, curvature in (("squared", 1), ("logistic", 1 / 4)):
        step = tangent.largest_stable_step(weights, inputs, activation, loss)
        assert step == pytest.approx(2 * 9 / (curvature * largest), rel=1e-10)


@pytest.mark.parametrize(("fraction", "diverges"), [(0.9, False), (1.1, True)])
def test_the_largest_stable_step_is_where_descent_on_the_linearised_network_turns_to_diverge(
    fraction: float, diverges: bool
) -> None:
    """Residuals of the linearised network, r <- (1 - step K/m) r, as the kernel moves them."""
    generator = np.random.default_rng(4)
    weights, inputs = initial_weights(200, 6, "unit", generator), generator.standard_normal((20, 6))
    kernel = tangent.tangent_kernel(weights, inputs, "tanh")
    step = fraction * tangent.largest_stable_step(weights, inputs, "tanh", "squared")
    residual = generator.standard_normal(20)
    last = residual
    for _ in range(200):
        last = last - step * kernel @ last / 20
    assert (np.linalg.norm(last) > np.linalg.norm(residual)) == diverges


def test_the_step_of_one_example_and_of_none_that_can_be() -> None:
    weights, one = initial_weights(10, 3, "unit", np.random.default_rng(5)), np.ones((1, 3))
    expected = 2 / tangent.tangent_kernel(weights, one, "tanh")[0, 0]
    assert tangent.largest_stable_step(weights, one, "tanh", "squared") == pytest.approx(expected)
    with pytest.raises(UserError, match="does not change"):
        tangent.largest_stable_step(weights, np.zeros((4, 3)), "tanh", "squared")
    with pytest.raises(UserError, match="at most 20,000 examples"):
        tangent.tangent_kernel(weights, np.zeros((20_001, 3)), "tanh")
