"""Line search and fully-corrective selection against scipy and plain loops, and what their theory promises."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import LinearConstraint, minimize, minimize_scalar
from test_selection import LOSSES, relu_outputs, targets_for

from goodsubnet.selection import convex, simplex
from goodsubnet.selection.convex import TOLERANCE, convex_selection, decrease, line_search, slope_of
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.selection.losses import mean_loss
from goodsubnet.selection.simplex import optimal_weights, quadratic_minimum


def zero_loss(y, loss):
    return mean_loss(np.zeros(len(y)), y, loss)


@settings(max_examples=100, deadline=None)
@given(
    p=st.floats(-10, 10, allow_subnormal=False),
    q=st.floats(0, 10, allow_subnormal=False),
)
def test_the_decrease_is_the_largest_of_the_model(p, q):
    g = np.linspace(0, 1, 10_001)
    found, grid = float(decrease(np.array(p), np.array(q))), (g * p - g**2 * q / 2).max()
    assert grid <= found + 1e-12
    assert found <= grid + 1e-7 * (1 + q)


def line_minimum(z, phi, y):
    """The lowest squared loss between z and phi by scipy, summed over the examples and halved."""
    found = minimize_scalar(
        lambda g: np.square(z + g * (phi - z) - y).sum() / 2, bounds=(0, 1), method="bounded", options={"xatol": 1e-10}
    )
    return min(found.fun, np.square(phi - y).sum() / 2)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_squared_loss_every_step_is_the_joint_minimum(data):
    shape = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 7)))
    outputs = data.draw(arrays.arrays(np.float32, shape, elements=st.floats(-8, 8, width=32, allow_subnormal=False)))
    y = 2.0 * data.draw(arrays.arrays(np.int64, shape[:1], elements=st.integers(0, 1))) - 1
    found, columns = convex_selection(outputs, y, 6, "squared"), outputs.T.astype(float)
    z = columns[found.neurons[0]]
    assert found.losses[0] == pytest.approx(min(mean_loss(phi, y, "squared") for phi in columns), rel=1e-12)
    for neuron, value in zip(found.neurons[1:], found.losses[1:], strict=True):
        minima = [line_minimum(z, phi, y) / len(y) for phi in columns]
        assert value <= min(minima) + 1e-9 * (1 + min(minima))
        g, _ = line_search(z, columns[neuron] - z, y, "squared")
        z = z + g * (columns[neuron] - z)
        assert value == pytest.approx(mean_loss(z, y, "squared"), rel=1e-12)
    if len(found.neurons) < 6:
        # No neuron lowers it any more: then z is the point of the convex hull that is nearest to y.
        assert (columns @ (z - y)).min() - z @ (z - y) >= -1e-6 * (1 + np.square(columns).sum(1).max())


@pytest.mark.parametrize("seed", range(3))
def test_squared_loss_chooses_as_the_plain_loop(seed):
    rng = np.random.default_rng(seed)
    outputs, y = relu_outputs(rng, 60, 40, 5.0), targets_for(rng, 60, "squared")
    columns, found = outputs.T.astype(float), convex_selection(outputs, y, 25, "squared").neurons
    z = columns[found[0]]
    for neuron in found[1:]:
        assert neuron == np.argmin([line_minimum(z, phi, y) for phi in columns])
        z = z + line_search(z, columns[neuron] - z, y, "squared")[0] * (columns[neuron] - z)


@pytest.mark.parametrize("seed", range(3))
def test_logistic_loss_chooses_the_largest_guaranteed_decrease_and_then_the_best_step(seed):
    rng = np.random.default_rng(seed)
    outputs, y = relu_outputs(rng, 60, 40, 5.0), targets_for(rng, 60, "logistic")
    columns, found = outputs.T.astype(float), convex_selection(outputs, y, 25)
    g = np.linspace(0, 1, 2001)[:, None]
    z = columns[found.neurons[0]]
    for neuron, value in zip(found.neurons[1:], found.losses[1:], strict=True):
        slope = 1 / (1 + np.exp(-z)) - y
        models = [(g * (slope @ (phi - z)) + g**2 * np.square(phi - z).sum() / 8).min() for phi in columns]
        assert models[neuron] <= min(models) + 1e-5 * abs(min(models))
        best = minimize_scalar(
            lambda h, z=z, neuron=neuron: mean_loss(z + h * (columns[neuron] - z), y, "logistic"),
            bounds=(0, 1),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert value <= best.fun + 1e-14
        assert value <= mean_loss(z, y, "logistic") + min(models) / len(y) + 1e-12  # the decrease was guaranteed
        step, _ = line_search(z, columns[neuron] - z, y, "logistic")
        z = z + step * (columns[neuron] - z)
        assert value == pytest.approx(mean_loss(z, y, "logistic"), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("corrective", [False, True])
def test_ties_go_to_the_lowest_index_and_copies_are_never_chosen(loss, corrective):
    rng = np.random.default_rng(4)
    outputs, y = relu_outputs(rng, 50, 10, 4.0), targets_for(rng, 50, loss)
    twice = np.concatenate((outputs, outputs), axis=1)
    wanted = convex_selection(outputs, y, 12, loss, corrective=corrective).neurons
    assert convex_selection(twice, y, 12, loss, corrective=corrective).neurons.tolist() == wanted.tolist()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("corrective", [False, True])
@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
def test_shares_are_convex_losses_fall_and_the_trace_is_that_of_the_output(loss, corrective, scale):
    rng = np.random.default_rng(int(scale * 10))
    outputs, y = relu_outputs(rng, 90, 70, scale), targets_for(rng, 90, loss)
    for steps in (1, 2, 30):
        found = convex_selection(outputs, y, steps, loss, corrective=corrective)
        kept, share = found.shares()
        assert share.sum() == pytest.approx(1, abs=1e-12)
        assert (share > 0).all()
        assert set(kept) <= set(found.neurons.tolist())
        assert found.sizes[-1] == len(kept)
        assert found.losses[-1] == pytest.approx(mean_loss(outputs[:, kept].astype(float) @ share, y, loss), rel=1e-11)
        assert (np.diff(found.losses) < 0).all()
        assert (np.diff(found.passes) >= 2).all()
        assert len(found.neurons) == len(found.losses) == len(found.sizes) == len(found.passes) <= steps


@pytest.mark.parametrize("loss", LOSSES)
def test_the_duality_gap_is_the_true_one_and_within_the_tolerance(loss):
    rng = np.random.default_rng(5)
    outputs, y = relu_outputs(rng, 80, 60, 6.0), targets_for(rng, 80, loss)
    for steps in (2, 5, 20, 40):
        found = convex_selection(outputs, y, steps, loss, corrective=True)
        kept, share = found.shares()
        columns = outputs[:, kept].T.astype(float)
        z = share @ columns
        slope = (z - y if loss == "squared" else 1 / (1 + np.exp(-z)) - y) / len(y)
        gap = (slope @ z) - (columns @ slope).min()
        assert gap <= TOLERANCE * zero_loss(y, loss)
        assert gap <= found.gaps[-1] + 1e-12
        assert (found.gaps <= TOLERANCE * zero_loss(y, loss)).all()
        # The certificate bounds the distance from the best weights, by another method.
        constraint = LinearConstraint(np.ones(len(kept)), 1, 1)
        best = minimize(
            lambda w, columns=columns: mean_loss(w @ columns, y, loss),
            share,
            jac=lambda w, columns=columns: columns @ slope_of(w @ columns, y, loss) / len(y),
            bounds=[(0, 1)] * len(kept),
            constraints=constraint,
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 300},
        )
        assert found.losses[-1] <= best.fun + TOLERANCE * zero_loss(y, loss)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("method", ["greedy", "line search"])
def test_optimal_weights_are_never_worse_than_those_of_the_others_with_the_same_neurons(loss, method):
    rng = np.random.default_rng(6)
    outputs, y = relu_outputs(rng, 80, 60, 4.0), targets_for(rng, 80, loss)
    for steps in (3, 10, 30):
        other = greedy_forward_selection(outputs, y, steps, loss)
        if method == "line search":
            other = convex_selection(outputs, y, steps, loss)
        kept, share = other.shares()
        rows, tolerance = outputs[:, kept].T.astype(float), TOLERANCE * zero_loss(y, loss) * len(y)
        products = rows @ rows.T if loss == "squared" else None
        for start in (share, np.full(len(kept), 1 / len(kept))):
            weights, gap, _ = optimal_weights(rows, y, start, loss, tolerance, products)
            assert gap <= tolerance
            assert mean_loss(weights @ rows, y, loss) <= other.losses[-1] + tolerance / len(y)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_the_quadratic_minimum_is_the_lowest_over_all_faces(count, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(count, count))
    matrix, linear = root @ root.T + 1e-3 * np.eye(count), 3 * rng.normal(size=count)
    start = rng.dirichlet(np.ones(count))
    lowest = np.inf
    for size in range(1, count + 1):
        for face in map(list, itertools.combinations(range(count), size)):
            system = np.block(
                [[matrix[np.ix_(face, face)], np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]]
            )
            x = np.linalg.solve(system, np.r_[-linear[face], 1])[:-1]
            if (x >= -1e-12).all():
                lowest = min(lowest, x @ matrix[np.ix_(face, face)] @ x / 2 + linear[face] @ x)
    found = quadratic_minimum(matrix, linear, start)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert (found >= 0).all()
    assert found @ matrix @ found / 2 + linear @ found == pytest.approx(lowest, rel=1e-8, abs=1e-9)


def test_the_loss_decays_faster_than_one_over_k():
    """Targets deep inside the convex hull: with steps 1/k the loss falls like 1/k^2 at best, with weights faster."""
    rng = np.random.default_rng(7)
    outputs, y = rng.normal(size=(12, 200)) * 4, targets_for(rng, 12, "squared")
    greedy = greedy_forward_selection(outputs, y, 40, "squared").losses
    searched = convex_selection(outputs, y, 40, "squared").losses
    corrected = convex_selection(outputs, y, 40, "squared", corrective=True).losses
    k = np.arange(10, 41)
    # Linear convergence: a factor from step to step, so the logarithm falls along k faster than any power of it.
    factor = (searched[39] / searched[9]) ** (1 / 30)
    assert factor < 0.85
    assert searched[39] * 40**2 < 1e-2 * searched[9] * 10**2
    assert (greedy[9:] * k**2).min() > 1e-2 * (greedy[9:] * k**2).max()
    assert corrected[-1] <= TOLERANCE * 0.5
    assert len(corrected) < 20


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("corrective", [False, True])
def test_stops_at_distinct_neurons_or_where_nothing_lowers_the_loss(loss, corrective):
    rng = np.random.default_rng(8)
    outputs, y = relu_outputs(rng, 90, 70, 5.0), targets_for(rng, 90, loss)
    found = convex_selection(outputs, y, None, loss, distinct=9, corrective=corrective)
    assert len(found.shares()[0]) == found.sizes[-1] == 9
    assert (found.sizes[:-1] < 9).all()
    same = convex_selection(np.ones((4, 3)), np.ones(4), 5, loss, corrective=corrective)
    assert same.neurons.tolist() == [0]
    few = convex_selection(outputs, y, None, loss, distinct=70, max_steps=4, corrective=corrective)
    assert len(few.neurons) == 4


@pytest.mark.parametrize("loss", LOSSES)
def test_passes_are_counted_as_they_are_said_to_be(loss, monkeypatch):
    rng = np.random.default_rng(9)
    outputs, y = relu_outputs(rng, 60, 50, 5.0), targets_for(rng, 60, loss)
    looked = []
    search = convex.line_search
    monkeypatch.setattr(convex, "line_search", lambda *a: looked.append(search(*a)) or looked[-1])
    found = convex_selection(outputs, y, 10, loss)
    wanted = np.r_[2, 2 + 2 * np.arange(1, 10) + np.cumsum([evaluations for _, evaluations in looked]) / 50]
    np.testing.assert_allclose(found.passes, wanted)
    assert loss == "logistic" or not any(evaluations for _, evaluations in looked)


def test_weights_that_do_not_come_within_the_gap_are_an_error(monkeypatch):
    rng = np.random.default_rng(10)
    outputs, y = relu_outputs(rng, 60, 50, 5.0), targets_for(rng, 60, "logistic")
    monkeypatch.setattr(simplex, "MOST_ITERATIONS", 1)
    with pytest.raises(ValueError, match="duality gap"):
        convex_selection(outputs, y, 30, corrective=True)


@pytest.mark.parametrize(
    ("outputs", "arguments", "message"),
    [
        (np.full((4, 2), np.nan, np.float32), {"steps": 1}, "NaN"),
        (np.full((4, 2), 1e308), {"steps": 3}, "overflow"),
        (np.ones((4, 2)), {}, "exactly one"),
        (np.ones((4, 2)), {"distinct": 3}, "only 2 neurons"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_says_what_is_wrong(outputs, arguments, message):
    with pytest.raises(ValueError, match=message):
        convex_selection(outputs, np.array([0.0, 1.0, 0.0, 1.0]), loss="squared", **arguments)
