"""The measured terms and the tables made of them."""

import json
from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import initial_weights
from goodsubnet.selection.forward import greedy_forward_selection
from goodsubnet.settings.networks import TwoLayerArchitecture
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.bounds_tables import certificates, tables, violations_table
from goodsubnet.theory.terms import initial_spectrum, lengths, measured_terms, movement, unmet_assumptions
from goodsubnet.theory.text import as_csv

ARCHITECTURE = TwoLayerArchitecture(kind="two_layer", width=40, activation="tanh", initialisation="unit")


def inputs(examples: int = 10, length: int = 6, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((examples, length)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def labels(examples: int = 10) -> np.ndarray:
    return np.where(np.arange(examples) % 2, 1.0, -1.0)


def test_neurons_that_are_alike_make_every_bound_an_equality() -> None:
    """D = V = 0: the subnetwork is the network, after any step."""
    outputs = np.repeat(np.linspace(-1, 1, 10)[:, None], 7, axis=1)
    found = measured_terms(
        outputs, labels(), greedy_forward_selection(outputs, labels(), 20, "squared").neurons, "squared"
    )
    assert found["squared_diameter"] == 0
    assert found["losses"] == pytest.approx([found["dense_loss"]] * 20, rel=1e-13)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_refused(wrong: float) -> None:
    outputs = np.ones((10, 3))
    outputs[0, 0] = wrong
    with pytest.raises(UserError, match="not a finite number"):
        measured_terms(outputs, labels(), np.array([0]), "squared")


def test_movement_is_the_distance_over_both_layers() -> None:
    initial = initial_weights(5, 3, "unit", np.random.default_rng(0))
    weights = {name: array.copy() for name, array in initial.items()}
    weights["a"][1] += np.array([3.0, 0, 0], np.float32)
    weights["b"][1] += 4
    weights["b"][2] -= 2
    assert movement(weights, initial) == pytest.approx([0, 5, 2, 0, 0], rel=1e-6)
    both = np.column_stack([initial["a"], initial["b"]])
    assert lengths(initial) == pytest.approx(np.linalg.norm(both, axis=1), rel=1e-6)


def changed(**keys: str) -> TwoLayerArchitecture:
    return ARCHITECTURE.model_copy(update=keys)


def test_each_unmet_assumption_is_named() -> None:
    assert unmet_assumptions(ARCHITECTURE, "squared", "full", inputs(), labels()) == []
    cases = [
        (changed(activation="relu"), "squared", "full", inputs(), labels(), "relu"),
        (ARCHITECTURE, "logistic", "full", inputs(), np.ones(10), "logistic loss"),
        (ARCHITECTURE, "squared", 9, inputs(), labels(), "mini-batches"),
        (changed(initialisation="scaled"), "squared", "full", inputs(), labels(), "N(0, I)"),
        (ARCHITECTURE, "squared", "full", 2 * inputs(), labels(), "length 1"),
        (ARCHITECTURE, "squared", "full", inputs(), 1.5 * labels(), "[-1, 1]"),
        (ARCHITECTURE, "squared", "full", inputs(), np.full(10, np.nan), "[-1, 1]"),
        (ARCHITECTURE, "squared", "full", inputs(41), labels(41), "more examples than neurons"),
    ]
    for *arguments, words in cases:
        (found,) = unmet_assumptions(*arguments)
        assert words in found
    # A batch of all examples is no mini-batch.
    assert unmet_assumptions(ARCHITECTURE, "squared", 10, inputs(), labels()) == []


def test_the_spectrum_is_that_of_a_brute_force_svd_and_keeps_small_values() -> None:
    weights = initial_weights(40, 6, "unit", np.random.default_rng(1))
    rows = inputs().astype(np.float64)
    # Two examples that nearly coincide: the squared matrix would lose the smallest singular value.
    rows[1] = rows[0] + 1e-9 * rows[2]
    found = initial_spectrum(weights, rows, "tanh")
    values = np.linalg.svd(np.tanh(rows @ weights["a"].astype(np.float64).T), compute_uv=False)
    assert found["smallest_singular_value"] == pytest.approx(values[-1], rel=1e-5)
    assert found["largest_singular_value"] == pytest.approx(values[0], rel=1e-12)
    assert found["condition_number"] == pytest.approx(values[0] / values[-1], rel=1e-5)
    assert found["condition_number"] > 1e8


def test_what_is_not_defined_is_no_number() -> None:
    weights = initial_weights(8, 6, "unit", np.random.default_rng(1))
    for value in initial_spectrum(weights, inputs(9), "tanh").values():
        assert isinstance(value, NotApplicable)
        assert str(value) == "not applicable (more examples than neurons)"
    twice = np.repeat(inputs(2), 2, axis=0)
    found = initial_spectrum(weights, twice, "tanh")
    assert str(found["condition_number"]) == "not applicable (dependent examples)"
    with pytest.raises(TypeError):
        float(found["condition_number"])


def checkpoint(iteration: int, dense: float, variance: float, seed: int = 0, **more) -> tuple[dict, dict]:
    names = {"experiment": "e", "network": "n", "width": 40, "method": "greedy", "examples": 10, "seed": seed}
    terms = {"dense_loss": dense, "variance": variance, "squared_diameter": 4 * variance, "trivial_loss": 0.5}
    terms |= {"losses": [dense + variance / (4 * k) for k in range(1, 101)], "unmet_assumptions": []}
    terms |= {"initial_length": 3.0, "mean_movement": 1.0, "largest_movement": 2.0, "learning_rate_per_neuron": 0.1}
    return {**names, "iteration": iteration}, {**terms, **more}


def test_the_tables_hold_every_checkpoint_and_step() -> None:
    measured = [checkpoint(0, 0.5, 0.4, smallest_singular_value=0.1), checkpoint(10, 0.1, 0.8)]
    terms, bounds = tables(measured, "squared", 0.01)
    assert terms["iteration"].tolist() == [0, 10]
    assert terms["smallest_singular_value"].tolist() == [0.1, NotApplicable("defined at initialisation")]
    assert terms["steps"].tolist() == [100, 100]
    assert len(bounds) == 200
    assert bounds["step"].max() == 100
    summary = violations_table(bounds).set_index("bound")
    assert summary["pairs"].tolist() == [200] * 3
    assert summary["violations"].tolist() == [0] * 3
    assert summary["checkpoints"].tolist() == [2] * 3
    ratio = bounds["variance_form"] / bounds["measured"]
    assert summary.loc["variance_form", "median_ratio"] == pytest.approx(ratio.median())


def test_a_violated_bound_is_counted() -> None:
    names, found = checkpoint(0, 0.1, 0.4)
    found["losses"][50] = 5.0
    _, bounds = tables([(names, found)], "squared", 0.01)
    assert violations_table(bounds)["violations"].tolist() == [1] * 3


def test_the_recursion_is_for_the_squared_loss_alone() -> None:
    terms, bounds = tables([checkpoint(0, 0.1, 0.4)], "logistic", 0.01)
    assert bounds["variance_recursion"].isna().all()
    assert terms["variance_recursion_bound"].isna().all()
    assert set(violations_table(bounds)["bound"]) == {"lemma1", "variance_form"}


def test_unmet_assumptions_stand_where_the_spectrum_would() -> None:
    terms, _ = tables([checkpoint(0, 0.1, 0.4, unmet_assumptions=["mini-batches", "x"])], "logistic", 0.01)
    assert terms["condition_number"].tolist() == [NotApplicable("mini-batches; x")]


def test_certificates_hold_to_the_end_for_every_seed() -> None:
    def certificate(*trials: list[tuple[float, float]]) -> str:
        """Each trial: dense loss and variance at the iterations 0, 10, 20 ..."""
        measured = [
            checkpoint(10 * place, dense, spread, seed)
            for seed, trial in enumerate(trials)
            for place, (dense, spread) in enumerate(trial)
        ]
        terms = pd.read_csv(BytesIO(as_csv(tables(measured, "squared", 0.01)[0])))
        (row,) = certificates(terms, 0.1).itertuples()
        if row.certificate.isdigit():
            there = terms[terms["iteration"] == int(row.certificate)]
            assert row.certified_loss == there["variance_recursion_bound"].max()
            assert (there["subnetwork_loss"] <= row.certified_loss).all()
        else:
            assert np.isnan(row.certified_loss)
        return row.certificate

    good, bad, trivial = (0.1, 1.0), (0.1, 40.0), (0.499, 1.0)
    far = "not informative (the bound ends too far above the dense loss)"
    assert certificate([bad, good, good]) == "10"
    assert certificate([good, bad, good]) == "20"
    assert certificate([good, good, good], [bad, bad, good]) == "20"
    assert certificate([good, good, bad]) == far
    assert certificate([good, good, good], [bad, bad, bad]) == far
    assert certificate([good, good, trivial]) == "not informative (the bound ends above the trivial loss)"
    assert certificate([trivial, good, good]) == "10"
    # The naive test, a dense loss below the other terms, would be met by `bad`, too.
    assert 0.1 < 4 * 40.0 / 200


def test_terms_can_be_stored() -> None:
    outputs = np.random.default_rng(0).standard_normal((10, 7))
    found = measured_terms(outputs, labels(), np.array([0, 1, 2]), "squared")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_tables_are_written_with_text_where_there_is_no_number() -> None:
    table = pd.DataFrame(
        {"name": ["x", "y", "z"], "mixed": [1 / 3, NotApplicable("none"), np.nan], "plain": [2 / 3, np.nan, np.inf]}
    )
    lines = as_csv(table).decode().splitlines()
    assert lines == ["name,mixed,plain", "x,0.333333,0.666667", "y,not applicable (none),", "z,,inf"]
    assert as_csv(table, digits=10).decode().splitlines()[1] == "x,0.3333333333,0.6666666667"
