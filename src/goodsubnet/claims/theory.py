"""Claims of the theory: 4 (its second part), 7, 8, 9 and 10. What is measured: docs/claims.md."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from goodsubnet.claims.accuracy import Rows, under_both_scalings
from goodsubnet.claims.inputs import ExperimentResults, Network, NotAsked, narrowest_and_widest, networks_of
from goodsubnet.claims.rows import (
    Measure,
    Measured,
    Question,
    example_words,
    over_experiments,
    run_words,
    seed_means,
    target_words,
)
from goodsubnet.claims.statistics import FAILS, HOLDS, NOT_RUN, UNDECIDED, End, Estimate, Line
from goodsubnet.errors import UserError
from goodsubnet.results.analysis import require_columns

TERMS = {"D²": "squared_diameter", "l(z₁)": "first_loss"}
LARGEST_GROWTH = 2.0
LARGEST_SLOPE = 0.1
LARGEST_MOVEMENT = 0.1
SQUARE_ROOT = Line(0.45, 0.55)
# Of the CSV's ten digits.
SLACK = 1e-9
LARGEST_COUNT = 1e9
CONDITION = "condition_number"


def wider_have_larger_terms(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 4, D² and l(z_1)."""
    for part, column in TERMS.items():
        question = Question(4, part, f"{part} of the widest over the narrowest", Line(low=1, ratio=True), "terms")
        yield from under_both_scalings(
            question,
            results,
            cast(Measure, lambda each, method, column=column: _widest_over_narrowest(each, method, column)),
            "terms",
        )


def same_choices(times: pd.DataFrame | None) -> Rows:
    """Claim 7. times: of times.csv."""
    question = Question(7, "", "different choices", Line(), "figure4")
    where, line, run = "pruning_times", "1", target_words("pruning_times")
    if times is None or times.empty:
        yield question.not_run(run, where, line=line)
        return
    if "chosen" not in times or times["chosen"].isna().all():
        yield question.not_run(f"the table has no column chosen; {run}", where, line=line)
        return
    try:
        require_columns(times, ["what", "workers"])
    except UserError as error:
        yield question.row(where, UNDECIDED, str(error), line=line)
        return
    for what, rows in times.groupby("what", sort=False):
        workers = sorted(pd.to_numeric(rows["workers"], errors="coerce").dropna().unique())
        if len(workers) < 2:
            verdict, reason, found = NOT_RUN, "one number of workers only; name several", np.nan
        elif rows["chosen"].isna().any():
            verdict, reason, found = UNDECIDED, f"a row does not say what was chosen; {run}", np.nan
        else:
            found = rows["chosen"].nunique()
            verdict = HOLDS if found == 1 else FAILS
            reason = (
                f"{' and '.join(f'{each:g}' for each in workers)} workers, {len(rows)} runs; no chance, no interval"
            )
        yield question.row(where, verdict, reason, part=str(what), effect=found, line=line)


def lemmas(results: Sequence[ExperimentResults]) -> Rows:
    """Claim 8."""
    for part, statistic, check in (
        ("Lemma 1", "violations of the bound", _lemma1),
        ("Lemma 2", "checkpoints that violate it", _lemma2),
    ):
        question, rows = Question(8, part, statistic, Line(), "bounds"), []
        for each in results:
            for method in each.greedy if each.kind == "two_layer" else []:
                names = {"method": method, "lr_scaling": each.lr_scaling or "", "line": "0"}
                table = each.violations if part == "Lemma 1" else each.terms
                if table is None:
                    rows.append(question.not_run(run_words(each), each.name, **names))
                    continue
                try:
                    count, pairs = check(table, method)
                except UserError as error:
                    rows.append(question.row(each.name, UNDECIDED, str(error), **names))
                    continue
                reason = f"{pairs:,} compared; proved, so no chance and no interval"
                rows.append(question.row(each.name, FAILS if count else HOLDS, reason, effect=count, **names))
        yield from rows or [question.not_run(example_words("theory"), line="0")]
    for part, column in TERMS.items():
        for over, line, measure in (
            ("training", Line(high=LARGEST_GROWTH, ratio=True), _growth),
            ("N", Line(high=LARGEST_SLOPE), _slope_in_width),
            ("m", Line(high=LARGEST_SLOPE), _slope_in_examples),
        ):
            words = "largest value in training over that at iteration 0"
            if over != "training":
                words = f"slope of the logarithm in ln {over}, largest value in training"
            yield from _where_assumed(
                Question(8, f"{part}/m over {over}", f"{part}/m: {words}", line, "terms"),
                results,
                cast(
                    Measure,
                    lambda each, method, column=column, measure=measure: measure(_terms(each, method, column)),
                ),
            )
    words = "mean movement over mean initial length"
    question = Question(8, "movement", words, Line(high=LARGEST_MOVEMENT), "terms")
    yield from _where_assumed(question, results, _movement)


def square_root(fits: pd.DataFrame | None) -> Rows:
    """Claim 9. fits: of singular_values.fits.csv."""
    question = Question(9, "", "exponent of N", SQUARE_ROOT, "figure2")
    where, run = "random_matrices", target_words("random_matrices")
    if fits is None or fits.empty:
        yield question.not_run(run, where)
        return
    try:
        require_columns(fits, ["examples", "inputs", "widths", "draws", "exponent", "low", "high"])
    except UserError as error:
        yield question.row(where, UNDECIDED, str(error))
        return
    for row in fits.to_dict("records"):
        part = f"m = {row['examples']}, d = {row['inputs']}"
        yield question.attempted(where, cast(Callable[[], Measured], lambda row=row: _exponent(row)), part=part)


def condition_grows(results: Sequence[ExperimentResults], numbers: pd.DataFrame | None) -> Rows:
    """Claim 10. numbers: of condition_numbers.csv."""
    statistic = "slope of ln(condition number) in ln m"
    question = Question(10, "Gaussian matrices", statistic, Line(low=0), "figure3")
    if numbers is None or numbers.empty:
        yield question.not_run(target_words("random_matrices"), "random_matrices")
    else:
        yield question.attempted("random_matrices", lambda: _slopes_of_widths(numbers))
    question = Question(10, "features at initialisation", statistic, Line(low=0), "thresholds")
    yield from _where_assumed(question, results, _condition_slope)


def _where_assumed(question: Question, results: Sequence[ExperimentResults], measure: Measure) -> Rows:
    """A question about experiments in which the theory's assumptions hold."""
    yield from over_experiments(
        question,
        results,
        measure,
        f"no experiment in which the theory's assumptions hold; {example_words('theory')}",
        lambda each, method: each.kind == "two_layer" and _assumed(each, method),
        "terms",
    )


def _assumed(results: ExperimentResults, method: str) -> bool:
    """Whether the assumptions hold: as the terms say or, where there are none, as the settings suggest."""
    terms = results.terms
    if terms is None or not {CONDITION, "iteration", "method"} <= set(terms.columns):
        return results.loss == "squared" and results.inputs == "unit_length"
    initial = terms[(terms["iteration"] == 0) & (terms["method"] == method)]
    return bool(pd.to_numeric(initial[CONDITION], errors="coerce").notna().any())


def _terms(results: ExperimentResults, method: str, column: str) -> list[Network]:
    """A positive column of the terms."""
    networks = networks_of(results.terms, method, column, np.inf, "terms")
    if any((each.trials.values <= 0).any() for each in networks):
        raise UserError(f"the table of terms: {column} is 0 somewhere, and has no logarithm")
    return networks


def _logs(networks: list[Network]) -> np.ndarray:
    """(networks, K, S, T)."""
    return np.log(np.stack([each.trials.values for each in networks]))


def _widest_over_narrowest(results: ExperimentResults, method: str, column: str) -> Measured:
    networks = _terms(results, method, column)
    narrow, wide = narrowest_and_widest(networks)
    last = _logs(networks)[..., -1]
    words = f"widths {networks[wide].width:,.0f} and {networks[narrow].width:,.0f}"
    return seed_means((last[wide] - last[narrow]).mean(axis=1), words)


def _growth(networks: list[Network]) -> Measured:
    if networks[0].trials.iterations[0] != 0:
        raise NotAsked("no checkpoint at iteration 0; add it")
    logs = _logs(networks)
    return seed_means((logs.max(axis=-1) - logs[..., 0]).mean(axis=(0, 2)))


def _slope_in_width(networks: list[Network]) -> Measured:
    narrowest_and_widest(networks)
    slopes = _slope(np.log([each.width for each in networks]), np.moveaxis(_logs(networks).max(axis=-1), 0, -1))
    return seed_means(slopes.mean(axis=1))


def _slope_in_examples(networks: list[Network]) -> Measured:
    examples = networks[0].trials.examples
    if len(examples) < 2:
        raise NotAsked("one number of examples only; name several under examples")
    return seed_means(_slope(np.log(examples), _logs(networks).max(axis=-1)).mean(axis=0))


def _slope(abscissa: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least-squares slopes along the last axis."""
    deviation = abscissa - abscissa.mean()
    return values @ deviation / (deviation**2).sum()


def _movement(results: ExperimentResults, method: str) -> Measured:
    moved, length = (
        np.stack([each.trials.values[..., -1] for each in networks_of(results.terms, method, name, np.inf, "terms")])
        for name in ("mean_movement", "initial_length")
    )
    if (length <= 0).any():
        raise UserError("the table of terms: the initial weights of a network have no length")
    return seed_means((moved / length).mean(axis=(0, 2)))


def _condition_slope(results: ExperimentResults, method: str) -> Measured:
    require_columns(cast(pd.DataFrame, results.terms), ["iteration"])
    initial = cast(pd.DataFrame, results.terms)[
        pd.to_numeric(cast(pd.DataFrame, results.terms)["iteration"], errors="coerce") == 0
    ]
    return _slope_in_examples(_terms(replace(results, terms=initial), method, CONDITION))


def _lemma1(table: pd.DataFrame, method: str) -> tuple[int, int]:
    """Violations, and how many pairs were compared."""
    require_columns(table, ["method", "bound", "pairs", "violations"])
    rows = table[(table["method"] == method) & (table["bound"] == "lemma1")]
    counts = rows[["violations", "pairs"]].apply(pd.to_numeric, errors="coerce")
    if counts.empty or not np.isfinite(counts).to_numpy().all():
        raise UserError(f"the table of violations does not count those of Lemma 1 for {method!r}; run it again")
    return int(counts["violations"].sum()), int(counts["pairs"].sum())


def _lemma2(table: pd.DataFrame, method: str) -> tuple[int, int]:
    """Checkpoints at which points of the hull are farther apart than two vertices, and how many were compared."""
    columns = ["squared_diameter", "variance", "first_loss", "dense_loss", "subnetwork_loss"]
    require_columns(table, ["method", "loss", *columns])
    rows = table[table["method"] == method]
    numbers = rows[columns].apply(pd.to_numeric, errors="coerce")
    if numbers.empty or not np.isfinite(numbers).to_numpy().all():
        raise UserError(f"the table of terms has no numbers for {method!r}, or lacks some; run the experiment again")
    diameter, variance, *losses = numbers.to_numpy().T
    roots = np.sqrt(2 * np.maximum(losses, 0))
    # For another loss these are no distances.
    spread = np.where(rows["loss"] == "squared", np.ptp(roots, axis=0), 0)
    violated = (variance > diameter * (1 + SLACK)) | (spread**2 > diameter * (1 + SLACK))
    return int(violated.sum()), len(rows)


def _exponent(row: dict[Hashable, Any]) -> Measured:
    """Of a row of singular_values.fits.csv."""
    found = {name: pd.to_numeric(row[name], errors="coerce") for name in ("exponent", "low", "high", "widths", "draws")}
    if not np.isfinite(list(found.values())).all() or not 2 < found["widths"] * found["draws"] < LARGEST_COUNT:
        raise UserError(f"no exponent with an interval: {row['low']}")
    freedom = found["widths"] * found["draws"] - 2
    error = (found["high"] - found["low"]) / 2 / float(stdtrit(freedom, 0.975))
    end = End(float(found["exponent"]), float(error), float(freedom), 1.0)
    return Measured(Estimate(end.mean, end, end, int(found["draws"])), "draws in place of seeds")


def _slopes_of_widths(table: pd.DataFrame) -> Measured:
    """One slope per width, of condition_numbers.csv."""
    require_columns(table, ["examples", "width", "median"])
    numbers = table[["examples", "width", "median"]].apply(pd.to_numeric, errors="coerce").dropna()
    numbers = numbers[(2 * numbers["examples"] <= numbers["width"]) & np.isfinite(numbers).all(axis=1)]
    numbers = numbers[(numbers > 0).all(axis=1)]
    slopes = [
        _slope(np.log(rows["examples"].to_numpy(float)), np.log(rows["median"].to_numpy(float)))
        for _, rows in numbers.groupby("width")
        if rows["examples"].nunique() > 1
    ]
    if not slopes:
        raise UserError("no width with two numbers of examples of at most half of it; name more examples or widths")
    return seed_means(np.array(slopes), "widths in place of seeds")
