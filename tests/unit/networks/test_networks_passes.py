"""The compiled passes in blocks of neurons, against products of matrices in float64."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import goodsubnet
from goodsubnet.networks import passes, two_layer
from goodsubnet.runtime.threads import limited_threads


def problem(width, examples, inputs, density, seed=0):
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(examples, inputs)) * (generator.random((examples, inputs)) < density)
    weights = {"a": generator.normal(size=(width, inputs)), "b": generator.normal(size=width)}
    return {name: value.astype(np.float32) for name, value in weights.items()}, rows.astype(np.float32)


def in_float64(weights, rows):
    return np.maximum(weights["a"].astype(float) @ rows.astype(float).T, 0) * weights["b"].astype(float)[:, None]


@settings(max_examples=40, deadline=None)
@given(
    width=st.sampled_from([1, 63, 64, 65, 200]),
    examples=st.sampled_from([1, 63, 64, 65, 130]),
    inputs=st.integers(1, 50),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 9),
)
def test_outputs_are_those_of_the_formula(width, examples, inputs, density, seed):
    weights, rows = problem(width, examples, inputs, density, seed)
    wanted, compressed = in_float64(weights, rows), passes.Inputs(rows)
    assert len(compressed) == examples
    scale = 1e-6 * (1 + np.abs(weights["a"]) @ np.abs(rows).T) * np.abs(weights["b"])[:, None]
    assert (np.abs(passes.neuron_outputs(weights, compressed) - wanted) <= scale).all()
    assert (np.abs(passes.forward(weights, compressed) - wanted.mean(axis=0)) <= scale.mean(axis=0)).all()
    back = passes.weights_of(*passes.blocks_of(weights), width, inputs)
    assert all(np.array_equal(back[name], weights[name]) for name in "ab")


def test_a_neurons_outputs_depend_on_no_other_neuron_example_or_thread():
    weights, rows = problem(300, 150, 40, 0.3)
    compressed = passes.Inputs(rows)
    whole = passes.neuron_outputs(weights, compressed)
    for first, stop in ((0, 1), (5, 77), (64, 128), (299, 300), (7, 7)):
        assert np.array_equal(passes.neuron_outputs(weights, compressed, first, stop), whole[first:stop])
    few = passes.Inputs(rows[40:77])
    assert np.array_equal(passes.neuron_outputs(weights, few), whole[:, 40:77])
    for threads in (1, 2):
        with limited_threads(threads):
            assert np.array_equal(passes.neuron_outputs(weights, compressed), whole)
            assert np.array_equal(passes.forward(weights, few), passes.forward(weights, compressed)[40:77])


@settings(max_examples=30, deadline=None)
@given(
    examples=st.sampled_from([1, 2, 5, 64, 65, 129]),
    inputs=st.sampled_from([1, 2, 63, 64, 65, 129]),
    density=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 5),
)
def test_groups_hold_every_number_once_and_in_order(examples, inputs, density, seed):
    _, rows = problem(1, examples + 3, inputs, density, seed)
    chosen = np.random.default_rng(seed).permutation(examples + 3)[:examples]
    compressed = passes.Inputs(rows)
    for groups, wanted in (
        (compressed.groups(chosen), rows[chosen]),
        (compressed.columns(chosen), rows[chosen].T),
    ):
        found = np.zeros((len(wanted) + 1, wanted.shape[1]), np.float32)
        assert sorted(groups.order[: len(wanted)]) == list(range(len(wanted)))
        assert (groups.order[len(wanted) :] == len(wanted)).all()
        size = groups.values.shape[1]
        assert size == (2 if compressed.sparse else 4)
        for group in range(groups.starts.shape[1] - 1):
            parts = [slice(starts[group], starts[group + 1]) for starts in groups.starts]
            places, values = (np.concatenate([x[part] for part in parts]) for x in (groups.places, groups.values))
            assert (np.diff(places) > 0).all()
            assert not compressed.sparse or (values != 0).any(axis=1).all()
            for which in range(size):
                found[groups.order[size * group + which], places] += values[:, which]
        assert np.array_equal(found[:-1], wanted)
        assert not found[-1].any()


def test_pairs_are_alike():
    """Of two kinds of examples that share nothing, no pair has one of each."""
    rows = np.zeros((64, 30), np.float32)
    kinds = np.random.default_rng(0).permutation(64) % 2
    rows[kinds == 0, :10], rows[kinds == 1, 10:20] = 1, 1
    order = passes.Inputs(rows).groups(np.arange(64)).order
    assert np.array_equal(kinds[order[::2]], kinds[order[1::2]])


def test_no_number_is_lost():
    weights, rows = problem(3, 4, 5, 1.0)
    rows[1, 2], rows[2, 0] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        outputs = passes.neuron_outputs(weights, passes.Inputs(rows))
    assert np.isnan(outputs[:, 1]).all()
    assert np.isfinite(outputs[:, [0, 3]]).all()
    assert np.isnan(passes.forward(weights, passes.Inputs(rows))[1])


def test_large_networks_take_these_passes_and_give_what_small_ones_do(monkeypatch):
    weights, rows = problem(100, 50, 40, 0.2)
    plain = two_layer.neuron_outputs(weights, rows, "relu"), two_layer.forward_in_blocks(weights, rows, "relu")
    monkeypatch.setattr(two_layer, "LARGE", 1)
    called = []
    monkeypatch.setattr(passes, "Inputs", lambda rows, sparse, of=passes.Inputs: called.append(1) or of(rows, sparse))
    outputs = two_layer.neuron_outputs(weights, rows, "relu")
    assert outputs.T.flags.c_contiguous
    assert outputs == pytest.approx(plain[0], abs=1e-6)
    assert np.array_equal(two_layer.neuron_outputs(weights, rows, "relu", 30, 40), outputs[:, 30:40])
    assert two_layer.forward_in_blocks(weights, rows, "relu") == pytest.approx(plain[1], abs=1e-6)
    assert len(called) == 3
    two_layer.neuron_outputs(weights, rows, "tanh")
    two_layer.neuron_outputs(weights, rows + 1, "relu")
    assert len(called) == 3


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(tmp_path):
    """A read-only installation without a home that can be written: a line says what to set."""
    package = tmp_path / "goodsubnet"
    shutil.copytree(Path(goodsubnet.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    # A file in the place of the cache's folder: not even root can write there.
    for folder in ("selection", "networks"):
        (package / folder / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    environment = {
        name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    }
    environment |= {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    code = (
        "import numpy as np; from goodsubnet.networks import passes; from goodsubnet.selection import kernels;"
        "print(passes.Inputs(np.eye(3, dtype=np.float32)).groups(np.arange(3)).places)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert sorted(done.stdout) == sorted("[0 1 2]\n"), done.stderr
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1
    assert "Traceback" not in done.stderr
