"""How long all claims take to judge on tables of the size of the paper's whole sweep, beside reading them from files.

    python benchmarks/claims.py

The tables have the networks, sizes, seeds and checkpoints of config/config.yaml, all of its experiments included, and
invented numbers: needs grow with the data, accuracies scatter over seeds. The two experiments of Figure 1 have a second
method, which stops at 200 distinct neurons. Predicted before the first run: 2 s to judge, 0.2 s to read.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from threadpoolctl import threadpool_limits

from goodsubnet.claims import ExperimentResults, judge, summary
from goodsubnet.settings import RandomMatrices
from goodsubnet.settings.configuration import Configuration, load_configuration

REPEATS = 5
CONFIGURATION = Path(__file__).parents[1] / "config" / "config.yaml"
TABLES = ("evaluations", "terms", "violations")
DISTINCT = {"algorithm": "greedy", "steps": None, "distinct": 200}


def results_of(configuration: Configuration, name: str, generator: np.random.Generator) -> ExperimentResults:
    """An experiment with tables of its size."""
    experiment = configuration.experiments[name]
    networks = {each: getattr(configuration.networks[each], "width", np.nan) for each in experiment.networks}
    methods = {each: configuration.methods[each].model_dump() for each in experiment.methods}
    if name.startswith("figure1"):
        methods["greedy_distinct"] = DISTINCT
    pretrain, data = experiment.pretrain, configuration.datasets[experiment.dataset]
    deep = pretrain.loss == "cross_entropy"
    keys = ["network", "examples", "seed", "iteration", "method"]
    grid = itertools.product(
        networks, experiment.examples, experiment.seeds, pretrain.checkpoint_iterations, list(methods)
    )
    frame = pd.DataFrame(grid, columns=keys).assign(experiment=name, dataset=experiment.dataset)
    frame["width"] = frame["network"].map(networks)
    progress = frame["iteration"] / pretrain.iterations * (max(experiment.examples) / frame["examples"]) ** 0.5
    scatter = 1e-3 * generator.standard_normal((3, len(frame)))
    accuracy = "test_accuracy" if deep else "train_accuracy"
    frame["train_accuracy"] = frame["test_accuracy"] = (0.98 - 0.3 * np.exp(-5 * progress) + scatter[0]).clip(0, 1)
    frame["dense_train_accuracy"] = frame["dense_test_accuracy"] = (frame[accuracy] + scatter[1]).clip(0, 1)
    frame["train_loss"] = 0.7 * np.exp(-3 * progress) + 0.01 + 0.1 * np.abs(scatter[2])
    frame["parameters"], frame["params_ratio"] = frame["network"].str.len() * 1e5, 0.8
    known = ExperimentResults(
        name,
        "deep" if deep else "two_layer",
        data.source,
        getattr(data, "title", None) or "",
        tuple(experiment.examples),
        methods,
        None if deep else pretrain.lr_scaling,
        pretrain.loss,
        getattr(pretrain, "inputs", ""),
        accuracy,
        experiment.paper_table,
        frame,
    )
    return known if deep else replace(known, terms=_terms(frame, pretrain.loss), violations=_violations(frame))


def _terms(frame: pd.DataFrame, loss: str) -> pd.DataFrame:
    """As bounds.terms.csv has them, of an experiment whose theory applies where the loss is the squared."""
    shape = len(frame)
    numbers = dict.fromkeys(("trivial_loss", "first_loss", "variance"), 0.4 + 0 * frame["train_loss"])
    numbers |= dict.fromkeys(("subnetwork_loss", "dense_loss"), frame["train_loss"])
    numbers |= {"squared_diameter": 20 + frame["iteration"] + np.arange(shape) % 7, "initial_length": 28.0}
    bounds = ("lemma1", "variance_form", "variance_recursion")
    numbers |= {f"{name}_bound": 1.0 for name in bounds} | dict.fromkeys(("mean_movement", "largest_movement"), 5.0)
    at_start = (frame["iteration"] == 0) & (loss == "squared")
    condition = (frame["examples"] ** 1.1 + np.arange(shape) % 5).astype(object)
    condition[~at_start] = "not applicable (defined at initialisation)"
    names = ["experiment", "network", "width", "method", "examples", "seed", "iteration"]
    return frame[names].assign(loss=loss, **numbers, condition_number=condition)


def _violations(frame: pd.DataFrame) -> pd.DataFrame:
    names = frame[["experiment", "network", "width", "method"]].drop_duplicates()
    return pd.concat([names.assign(bound=bound, pairs=99_000, violations=0) for bound in ("lemma1", "variance_form")])


def matrices(generator: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Tables as those of Figures 2, 3 and 4 with their default grids."""
    grids = RandomMatrices()
    singular, conditions = grids.smallest_singular_values, grids.condition_numbers
    cells = itertools.product(singular.examples, singular.inputs)
    fits = pd.DataFrame(cells, columns=["examples", "inputs"]).assign(
        widths=6, draws=10, exponent=0.52, low=0.51, high=0.53
    )
    cells = itertools.product(conditions.examples, conditions.widths)
    numbers = pd.DataFrame(cells, columns=["examples", "width"])
    numbers["median"] = numbers["examples"] ** 0.3 * np.exp(0.1 * generator.standard_normal(len(numbers)))
    cells = itertools.product(("layer1", "layer2", "layer3", "layer4", "two-layer network"), (1, 2, 4), range(5))
    times = pd.DataFrame(cells, columns=["what", "workers", "repetition"]).assign(chosen="a1")
    return {"singular_value_fits": fits, "condition_numbers": numbers, "pruning_times": times}


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """Of the clock, and of the processor."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


def main() -> None:
    generator = np.random.default_rng(0)
    raw = yaml.safe_load(CONFIGURATION.read_text())
    raw["datasets"]["imagenet"]["path"] = "imagenet"
    configuration = load_configuration(raw)
    results = [results_of(configuration, name, generator) for name in configuration.experiments]
    tables = matrices(generator)
    for each in results:
        sizes = [f"{name} {len(getattr(each, name)):,}" for name in TABLES if getattr(each, name) is not None]
        print(f"{each.name}: rows of {', '.join(sizes)}")
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        paths = []
        for place, table in enumerate(
            [getattr(each, name) for each in results for name in TABLES if getattr(each, name) is not None]
            + list(tables.values())
        ):
            paths.append(Path(folder) / f"{place}.csv")
            table.to_csv(paths[-1], index=False)
        judgements = judge(results, **tables)
        timed = {
            "reading": lambda: [pd.read_csv(path) for path in paths],
            "judging": lambda: judge(results, **tables),
            "summing up": lambda: summary(judgements),
        }
        seconds = {name: [] for name in timed}
        for _ in range(REPEATS):
            for name, work in timed.items():
                seconds[name].append(seconds_of(work))
    print(f"{len(judgements)} judgements; {judgements['verdict'].value_counts().to_dict()}")
    for name, measured in seconds.items():
        clock, processor = (statistics.median(each) for each in zip(*measured, strict=True))
        print(f"{name}: {clock:.3f} s, {processor:.3f} s of a processor; median of {REPEATS}, one thread")


if __name__ == "__main__":
    main()
