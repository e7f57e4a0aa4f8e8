"""Tables of experiments with a truth that is known, for the tests of the claims."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd

from goodsubnet.claims import ExperimentResults

SIZES = (100, 200, 400, 800, 1600, 3200)
ITERATIONS = (0, 100, 200, 400, 800, 1600, 3200)
GREEDY = {"greedy": {"algorithm": "greedy", "steps": 200, "distinct": None}}
LAYER_GREEDY = {"greedy_60": {"algorithm": "layer_greedy", "flops_ratio": 0.6}}


def table(columns, networks, sizes=SIZES, iterations=ITERATIONS, method="greedy", **more) -> pd.DataFrame:
    """A tidy table from arrays (networks, seeds, sizes, iterations); networks: name -> width, or NaN."""
    shape = next(iter(columns.values())).shape
    cells = itertools.product(networks.items(), range(shape[1]), sizes, iterations)
    rows = [(name, width, seed, size, at) for (name, width), seed, size, at in cells]
    frame = pd.DataFrame(rows, columns=["network", "width", "seed", "examples", "iteration"])
    values = {name: np.broadcast_to(array, shape).ravel() for name, array in columns.items()}
    return frame.assign(experiment="e", method=method, **values, **more)


def curves(needs, iterations=ITERATIONS, top=0.9, start=0.5) -> np.ndarray:
    """Accuracies that rise in a straight line to 0.85 at a need (...) and to `top` at twice it: (..., T)."""
    at = np.asarray(needs, float)[..., None]
    share = np.minimum(np.asarray(iterations, float) / at, 2)
    return start + np.where(share < 1, (0.85 - start) * share, (0.85 - start) + (top - 0.85) * (share - 1))


def two_layer(accuracy, widths=(10, 40), dense=None, sizes=SIZES, iterations=ITERATIONS, **more) -> ExperimentResults:
    """Results from accuracies (networks, seeds, sizes, iterations)."""
    networks = {f"w{width}": width for width in widths}
    dense = accuracy if dense is None else dense
    frame = table(
        {"train_accuracy": accuracy, "dense_train_accuracy": dense, "train_loss": 1 - accuracy},
        *(networks, sizes, iterations),
    )
    known = {"source": "mnist", "examples": sizes, "methods": GREEDY, "lr_scaling": "per_neuron"}
    known |= {"loss": "logistic", "accuracy": "train_accuracy", "evaluations": frame}
    return ExperimentResults(more.pop("name", "e"), "two_layer", **known | more)


def deep(accuracy, dense=None, sizes=(10, 20, 40), iterations=(50, 100, 150), parameters=(1e4, 1e5), **more):
    """As `two_layer`, of networks with so many parameters before pruning."""
    networks = {f"n{place}": np.nan for place in range(accuracy.shape[0])}
    dense = accuracy if dense is None else dense
    frame = table(
        {"test_accuracy": accuracy, "dense_test_accuracy": dense},
        *(networks, sizes, iterations, "greedy_60"),
        params_ratio=0.8,
    )
    before = dict(zip(networks, parameters, strict=False))
    frame["parameters"] = 0.8 * frame["network"].map(before)
    known = {"source": "cifar10", "examples": sizes, "methods": LAYER_GREEDY, "evaluations": frame}
    return ExperimentResults(more.pop("name", "d"), "deep", **known | more)


def theory(seeds=3, noise=0.0, seed=0, diameter=None, first=None, movement=1.0, condition=None) -> ExperimentResults:
    """Terms of two networks under the assumptions of the theory; by default all of it holds."""
    generator = np.random.default_rng(seed)
    widths, sizes, iterations = (100, 400), (10, 20, 40), (0, 50, 100)
    shape = (2, seeds, 3, 3)
    scatter = np.exp(noise * generator.standard_normal((1, seeds, 1, 1)))
    width = np.array(widths, float).reshape(2, 1, 1, 1)
    size = np.array(sizes, float).reshape(1, 1, 3, 1)
    at = np.array(iterations, float)
    grown = (lambda width, size, at: 20 + 0 * width) if diameter is None else diameter
    lost = (lambda width, size, at: 0.4 + 0 * width) if first is None else first
    kappa = (lambda width, size: 3 * size + 0 * width) if condition is None else condition
    jitter = np.exp(1e-3 * generator.standard_normal(shape))
    columns = {
        "squared_diameter": grown(width, size, at) * scatter * jitter,
        "first_loss": lost(width, size, at) * scatter * jitter,
        "mean_movement": movement * jitter * (at > 0),
        "initial_length": 28 * np.ones(shape),
        "variance": 0.5 * np.ones(shape),
        "dense_loss": 0.3 * np.ones(shape),
        "subnetwork_loss": 0.3 * np.ones(shape),
        "condition_number": np.where(at == 0, kappa(width, size) * jitter, np.nan),
    }
    columns = {name: np.broadcast_to(array, shape) for name, array in columns.items()}
    terms = table(columns, dict(zip(("t100", "t400"), widths, strict=True)), sizes, iterations, loss="squared")
    terms["condition_number"] = terms["condition_number"].astype(object).fillna("not applicable (later)")
    violations = pd.DataFrame(
        {"method": "greedy", "bound": ["lemma1", "variance_form"], "pairs": 10, "violations": [0, 3]}
    )
    results = two_layer(np.zeros((2, seeds, 3, 3)), widths, sizes=sizes, iterations=iterations, name="theory")
    return replace(results, loss="squared", inputs="unit_length", evaluations=None, terms=terms, violations=violations)
