"""Tables of the bounds against what was measured, from the terms of every pruned checkpoint."""

from collections.abc import Iterable, Mapping
from typing import TypedDict, cast

import numpy as np
import pandas as pd

from goodsubnet.results.analysis import GROUP
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.bounds import (
    certified,
    lemma1,
    steps_for_error,
    variance_form,
    variance_recursion,
    violations,
)

NAMES = [*GROUP, "examples", "seed", "iteration"]
BOUNDS = ["lemma1", "variance_form", "variance_recursion"]
SPECTRUM = ["smallest_singular_value", "largest_singular_value", "condition_number"]


class _Terms(TypedDict):
    """The terms of a checkpoint; those of the spectrum where they are defined."""

    losses: list[float]
    dense_loss: float
    trivial_loss: float
    squared_diameter: float
    variance: float
    mean_movement: float
    largest_movement: float
    initial_length: float
    learning_rate_per_neuron: float
    unmet_assumptions: list[str]


def tables(
    measured: Iterable[tuple[Mapping[str, object], Mapping[str, object]]], loss: str, error: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The terms of each checkpoint, and the bounds after each step beside the measured loss.

    measured: for each checkpoint its names (NAMES) and its terms, as `theory.terms` gives them. error: the mean loss
    for which `steps_for_error` is answered. All losses, V and D^2 are means over the examples.

    The first table has one row per checkpoint; `NotApplicable` stands where a term is not defined. The second
    has one row per checkpoint and step: `step`, `measured`, BOUNDS, `dense_loss`, `trivial_loss`; `variance_recursion`
    is for the squared loss and NaN for another.
    """
    terms, steps = [], []
    for names, found in cast(Iterable[tuple[Mapping[str, object], _Terms]], measured):
        row = {name: names[name] for name in NAMES}
        losses = np.asarray(found["losses"])
        dense, trivial, count = found["dense_loss"], found["trivial_loss"], len(losses)
        bounds = {
            "lemma1": lemma1(losses[0], dense, found["squared_diameter"], count, loss),
            "variance_form": variance_form(dense, found["variance"], count, loss),
            "variance_recursion": np.full(count, np.nan),
        }
        if loss == "squared":
            bounds["variance_recursion"] = variance_recursion(dense, found["variance"], count)
        unmet = found["unmet_assumptions"]
        elsewhere = NotApplicable("; ".join(unmet) if unmet else "defined at initialisation")
        terms.append(
            {
                **row,
                "steps": count,
                "loss": loss,
                "subnetwork_loss": losses[-1],
                "dense_loss": dense,
                "trivial_loss": trivial,
                "first_loss": losses[0],
                "squared_diameter": found["squared_diameter"],
                "variance": found["variance"],
                "mean_movement": found["mean_movement"],
                "largest_movement": found["largest_movement"],
                "initial_length": found["initial_length"],
                "learning_rate_per_neuron": found["learning_rate_per_neuron"],
                **{f"{name}_bound": values[-1] for name, values in bounds.items()},
                "steps_for_error": steps_for_error(error, found["squared_diameter"]),
                **{name: found.get(name, elsewhere) for name in SPECTRUM},
            }
        )
        steps.append(
            pd.DataFrame(
                {
                    **row,
                    "step": np.arange(1, count + 1),
                    "measured": losses,
                    **bounds,
                    "dense_loss": dense,
                    "trivial_loss": trivial,
                }
            )
        )
    return pd.DataFrame(terms), pd.concat(steps, ignore_index=True)


def violations_table(bounds: pd.DataFrame) -> pd.DataFrame:
    """At how many (checkpoint, step) pairs a bound is violated, and how loose it is: bound over measured loss.

    One row per network, method and bound. `violations` should be 0: another number is an error in the code or in a
    proof.
    """
    rows = []
    for key, group in bounds.groupby(GROUP, sort=False):
        for name in BOUNDS:
            held = group[group[name].notna()]
            if held.empty:
                continue
            ratio = held[name] / held["measured"]
            rows.append(
                {
                    **dict(zip(GROUP, key, strict=True)),
                    "bound": name,
                    "checkpoints": len(held[NAMES].drop_duplicates()),
                    "pairs": len(held),
                    "violations": int(violations(held["measured"].to_numpy(), held[name].to_numpy()).sum()),
                    "median_ratio": ratio.median(),
                    "smallest_ratio": ratio.min(),
                }
            )
    return pd.DataFrame(rows)


def certificates(terms: pd.DataFrame, margin: float) -> pd.DataFrame:
    """From which checkpoint on its own terms prove that the subnetwork is good, for each network, method and size.

    The bound is the sharpest that knows nothing but the dense network: the variance recursion for the squared loss, the
    variance form else. It counts where it is below the loss of the trivial predictor and within `margin` of that loss
    above the dense loss, from a checkpoint to the last one; the latest of the seeds. Returns the columns network,
    method, examples, `certificate`: an iteration, or "not informative" with what fails at the last checkpoint; and
    `certified_loss`: the largest loss of a seed that the bound allows at that iteration, NaN where there is none.
    """
    bound = terms["variance_recursion_bound"].fillna(terms["variance_form_bound"])
    columns = zip(bound, terms["dense_loss"], terms["trivial_loss"], strict=True)
    terms = terms.assign(bound=bound, good=[certified(*values, margin) for values in columns])
    rows = []
    for key, trials in terms.groupby(["network", "method", "examples"], sort=False):
        first = [_from(trial.sort_values("iteration")) for _, trial in trials.groupby("seed")]
        last = trials[trials["iteration"] == trials["iteration"].max()]
        if None not in first:
            answer, loss = (
                str(max(cast(list[int], first))),
                trials.loc[trials["iteration"] == max(cast(list[int], first)), "bound"].max(),
            )
        elif (last["bound"] >= last["trivial_loss"]).any():
            answer, loss = "not informative (the bound ends above the trivial loss)", np.nan
        else:
            answer, loss = "not informative (the bound ends too far above the dense loss)", np.nan
        rows.append((*key, answer, loss))
    return pd.DataFrame(rows, columns=["network", "method", "examples", "certificate", "certified_loss"])


def _from(trial: pd.DataFrame) -> int | None:
    """The first iteration from which every checkpoint is good; None where the last one is not."""
    bad = np.flatnonzero(~trial["good"])
    after = bad[-1] + 1 if len(bad) else 0
    return int(trial["iteration"].iloc[after]) if after < len(trial) else None
