"""The parts that exactness rests on: bounds that bound, one decision on every path, no copy, late imports."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from goodsubnet.selection.forward import search_for
from goodsubnet.selection.logistic import derivatives
from goodsubnet.selection.losses import canonical_score, decide


def exact_losses(search):
    """Summed logistic loss of every candidate, each term in long double."""
    phi = search.columns.values[search.candidates].astype(np.longdouble)
    z = (search.total + phi) / search.step
    t = np.where(search.targets > 0, -z, z)
    return (np.maximum(t, 0) + np.log1p(np.exp(-abs(t)))).sum(1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("examples", [3, 700, 1537])
def test_every_bound_of_the_logistic_loss_holds(dtype, scale, examples):
    rng = np.random.default_rng([examples, int(scale * 1e3)])
    outputs = (scale * rng.normal(size=(examples, 40)) * rng.random(40)).astype(dtype)
    search = search_for(outputs, rng.integers(0, 2, examples), "logistic")
    for step in range(1, 40):
        exact = exact_losses(search)
        if exact.min() > 1e-290:  # below, float64 sees ties
            assert search.best() == search.candidates[np.argmin(exact)]
        bounds = [search.screen_bounds(search.candidates), search.exact_bounds(search.candidates)]
        bounds.append(search.taylor_bounds())
        for lower, upper in bounds:
            assert (lower <= exact).all()
            assert (exact <= upper).all()
        lower, upper = search.exact_bounds(search.candidates)
        assert (upper - lower <= 1e-12 * (1 + scale) * exact + 1e-299).all()
        if step > 20 and scale <= 1:
            lower, upper = search.taylor_bounds()
            assert (upper - lower < 1e-3 * exact).all()
        search.add(int(rng.integers(40)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_bound_of_the_squared_score_holds(dtype):
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(900, 30)).astype(dtype)
    y = rng.normal(size=900)
    search = search_for(outputs, y, "squared")
    exact = outputs.astype(np.longdouble)
    for _ in range(30):
        wanted = (exact * (2 * search.total - 2 * search.step * y)[:, None] + exact**2).sum(0)
        scores, errors = search.scores()
        assert (abs(scores - wanted) <= errors).all()
        assert (errors < 1e-9 * abs(wanted).max()).all()
        search.add(int(rng.integers(30)))


@pytest.mark.parametrize("examples", [1, 31, 512, 1025])
def test_vector_softplus_keeps_its_relative_precision(examples):
    values = np.linspace(-720, 40, 4 * examples).reshape(4, examples)
    search = search_for(np.asfortranarray(values.T), np.zeros(examples), "logistic")
    found = search.columns.softplus(np.arange(4), np.full(examples, 1 / math.log(2)), np.zeros(examples))
    wanted = np.logaddexp(0, values).sum(1)
    np.testing.assert_allclose(found, wanted, rtol=4e-13, atol=examples * 1e-300)
    rough = search.columns.screen(np.arange(4), np.full(examples, 1 / math.log(2)), np.zeros(examples))
    np.testing.assert_allclose(rough, wanted, rtol=3e-4, atol=examples * 1e-36)


def test_derivatives_are_those_of_the_loss():
    s = np.linspace(-9, 9, 400)
    for y in (0.0, 1.0):
        targets = np.full(400, y)
        first, *_ = derivatives(s, targets)
        np.testing.assert_allclose(first, 1 / (1 + np.exp(-s)) - y, atol=1e-15)
        step = 1e-5
        ahead, behind = derivatives(s + step, targets), derivatives(s - step, targets)
        for lower, higher in zip(range(3), derivatives(s, targets)[1:], strict=True):
            np.testing.assert_allclose((ahead[lower] - behind[lower]) / (2 * step), higher, atol=1e-9)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_decision_hangs_on_no_order(loss):
    rng = np.random.default_rng(2)
    outputs, total = rng.normal(size=(200, 6)), rng.normal(size=200)
    y = rng.integers(0, 2, 200).astype(float)
    outputs[:, 4] = outputs[:, 1]
    best = decide(lambda n: outputs[:, n], [4, 1, 0, 2], total, y, 3, loss)
    scores = [canonical_score(outputs[:, n], total, y, 3, loss) for n in range(6)]
    assert best == min((scores[n], n) for n in (0, 1, 2))[::-1]
    mixed = rng.permutation(200)
    assert canonical_score(outputs[mixed, 3], total[mixed], y[mixed], 3, loss) == scores[3]
    shares = [decide(lambda n: outputs[:, n], share, total, y, 3, loss) for share in ([0, 1], [2, 4])]
    assert min(shares, key=lambda found: found[::-1]) == best


def test_identical_columns_are_scored_once(monkeypatch):
    from goodsubnet.selection import losses

    calls = []
    monkeypatch.setattr(losses, "canonical_score", lambda *_: calls.append(1) or 0.0)
    zeros = np.zeros((10, 500))
    zeros[:, ::2] = -0.0
    assert decide(lambda n: zeros[:, n], range(500), np.zeros(10), np.zeros(10), 1, "squared") == (0, 0.0)
    assert len(calls) == 1


def test_forgotten_inner_products_are_computed_again(monkeypatch):
    from goodsubnet.selection import squared
    from goodsubnet.selection.forward import greedy_forward_selection

    rng = np.random.default_rng(3)
    outputs, y = rng.normal(size=(60, 50)).astype(np.float32), rng.normal(size=60)
    wanted = greedy_forward_selection(outputs, y, 80, "squared")
    monkeypatch.setattr(squared, "CACHE_BYTES", 0)
    assert wanted.distinct > 2 * squared.TOGETHER
    assert greedy_forward_selection(outputs, y, 80, "squared").neurons.tolist() == wanted.neurons.tolist()


def test_neuron_contiguous_outputs_are_not_copied():
    rows = np.ones((3, 5), np.float32)
    assert np.shares_memory(search_for(rows.T, np.ones(5), "logistic").columns.values, rows)


def run_python(code, **environment):
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_torch_and_numba_are_imported_late():
    code = """
import sys, numpy as np
from goodsubnet.selection.forward import greedy_forward_selection
assert "numba" not in sys.modules
greedy_forward_selection(np.eye(3), np.ones(3), 2)
assert "numba" in sys.modules and "torch" not in sys.modules
"""
    run_python(code, PYTHONPATH=os.pathsep.join(sys.path))


def test_the_accelerators_path_chooses_the_same():
    """On the processor, with Triton's interpreter in the place of its compiler."""
    code = """
import numpy as np, torch
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.selection import accelerator
from goodsubnet.selection.logistic import LogisticSearch
from goodsubnet.selection.squared import SquaredSearch
accelerator.TEMPORARY_BYTES = 1 << 18
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    hidden = np.maximum(rng.normal(size=(1300, 6)) @ rng.normal(size=(6, 20)), 0) * rng.normal(size=20)
    outputs = (4 * hidden).astype(dtype)
    outputs[:, 15:] = 0
    outputs[:, 17] = outputs[:, 5]
    y = (outputs.mean(1) + rng.normal(size=1300) > 0).astype(float)
    for loss, kind in (("squared", SquaredSearch), ("logistic", LogisticSearch)):
        wanted = greedy_forward_selection(outputs, y, 20, loss).neurons.tolist()
        assert len(set(wanted)) >= 3
        search = kind(accelerator.DeviceColumns(torch.from_numpy(outputs).T, y), y)
        for neuron in wanted:
            assert search.best() == neuron
            if loss == "logistic" and search.step % 4 == 1:
                low, high = search.taylor_bounds()
                sure, _ = search.exact_bounds(search.candidates)
                assert (low <= sure * (1 + 1e-9)).all() and (sure <= high).all() and (low > -1e9).all()
            search.add(neuron)
try:
    accelerator.DeviceColumns(torch.full((2, 3), float("nan")), np.ones(3))
except ValueError as error:
    print(error)
"""
    assert "NaN" in run_python(code, PYTHONPATH=os.pathsep.join(sys.path), TRITON_INTERPRET="1")
