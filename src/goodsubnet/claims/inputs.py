"""What the claims are judged on: an experiment's description and tables, and the numbers of its seeds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from goodsubnet.errors import UserError
from goodsubnet.results.analysis import CELL, GROUP, Trials, grouped_trials, require_columns


class NotAsked(UserError):
    """The experiment cannot answer this question, whatever its seeds give; the message says what it would need."""


LARGEST_KEY = 1e15  # beyond it float64 does not tell whole numbers apart
# The paper's methods, for the two kinds of networks.
ALGORITHMS = {"two_layer": "greedy", "deep": "layer_greedy"}


@dataclass(frozen=True)
class ExperimentResults:
    """An experiment of the configuration, and the tables that it left, or None where it did not run.

    name: as `snakemake <name>` takes it. kind: "two_layer" or "deep". source, title: of the data set; source is the
    key of `datasets.<name>.source` ("mnist", "cifar10", "digits", "folder"). examples: the sizes of the sub-datasets.
    methods: name -> its settings, of which "algorithm", "steps" and "distinct" are read. lr_scaling: "per_neuron",
    "plain" or None. loss, inputs: of `pretrain`. accuracy: the column of `evaluations` to judge by. paper_table:
    "table1", "table2" or None. evaluations: of evaluations.csv; terms, violations: of bounds.terms.csv and
    bounds.violations.csv.
    """

    name: str
    kind: str
    source: str = ""
    title: str = ""
    examples: tuple[int, ...] = ()
    methods: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    lr_scaling: str | None = None
    loss: str = ""
    inputs: str = ""
    accuracy: str = "test_accuracy"
    paper_table: str | None = None
    evaluations: pd.DataFrame | None = None
    terms: pd.DataFrame | None = None
    violations: pd.DataFrame | None = None

    @property
    def greedy(self) -> list[str]:
        """The names of the paper's methods."""
        algorithm = ALGORITHMS.get(self.kind)
        return [name for name, settings in self.methods.items() if settings.get("algorithm") == algorithm]


class Network(NamedTuple):
    """A column of a table for one network and method."""

    name: str
    width: float  # hidden neurons; NaN for deep networks
    trials: Trials


def rows_of(table: pd.DataFrame | None, method: str, columns: list[str], what: str = "evaluations") -> pd.DataFrame:
    """The rows of a method; the columns, the width and the cells are numbers, or NaN for what is not a number.

    Raises UserError where there is no table, or it lacks a column, the method, or what a row belongs to.
    """
    if table is None:
        raise UserError(f"there is no table of {what}; run the experiment again")
    require_columns(table, [*GROUP, *CELL, *columns])
    rows = table[table["method"] == method]
    if rows.empty:
        raise UserError(f"the table of {what} has no rows of method {method!r}; run the experiment again")
    numeric = [*CELL, "width", *columns]
    rows = rows.assign(**{name: pd.to_numeric(rows[name], errors="coerce") for name in numeric})
    # Deep networks have no width.
    keys = rows[[*CELL, "width"]].fillna({"width": 0})
    if not (keys.abs() < LARGEST_KEY).to_numpy().all():
        raise UserError(f"the table of {what}: a seed, size, iteration or width is not a number; make it again")
    return rows


def networks_of(
    table: pd.DataFrame | None, method: str, column: str, largest: float = 1.0, what: str = "evaluations"
) -> list[Network]:
    """A column of every network, by width and name; all have the same seeds, sizes and checkpoints.

    largest: the largest value that the column may hold. Raises UserError where the table lacks a column or a cell, has
    a cell twice, has no row of the method, or the networks differ in their cells.
    """
    rows = rows_of(table, method, [column], what)
    found = []
    for names, trials in grouped_trials(rows, column, largest):
        width = float("nan") if pd.isna(cast(float, names["width"])) else float(cast(float, names["width"]))
        found.append(Network(str(names["network"]), width, trials))
    for each in found[1:]:
        if not all(np.array_equal(*pair) for pair in zip(each.trials[:3], found[0].trials[:3], strict=True)):
            both = f"networks {found[0].name!r} and {each.name!r}"
            raise UserError(f"{both} differ in seeds, sizes or checkpoints; run what is missing")
    return sorted(found, key=lambda each: (np.nan_to_num(each.width), each.name))


def narrowest_and_widest(networks: list[Network]) -> tuple[int, int]:
    """Their positions in the list. Raises UserError where all are equally wide."""
    widths = [each.width for each in networks]
    if len(set(widths)) < 2 or np.isnan(widths).any():
        raise NotAsked("one width only; name networks of at least two widths")
    return int(np.argmin(widths)), int(np.argmax(widths))


def dense_parameters(table: pd.DataFrame, method: str, networks: list[Network]) -> tuple[int, int]:
    """The positions of the networks with the fewest and the most parameters before pruning.

    Raises UserError where all have equally many, or the table does not say.
    """
    require_columns(table, ["parameters", "params_ratio"])
    rows = table[table["method"] == method]
    dense = pd.to_numeric(rows["parameters"], errors="coerce") / pd.to_numeric(rows["params_ratio"], errors="coerce")
    count = dense.groupby(rows["network"]).median().reindex([each.name for each in networks]).to_numpy()
    if not np.isfinite(count).all():
        raise UserError("the table of evaluations lacks parameters of a network; run the experiment again")
    if len(set(count.round())) < 2:
        raise NotAsked("networks of one size only; name at least two of different size")
    return int(np.argmin(count)), int(np.argmax(count))
