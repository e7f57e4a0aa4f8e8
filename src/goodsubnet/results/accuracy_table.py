"""Tables 1 and 2 of the paper for one's own networks: accuracy after each amount of pre-training, and the paper's.

Computed from the tidy table of evaluations of deep networks (see `goodsubnet.results.analysis`), which has, besides
`test_accuracy` (after fine-tuning), `pruned_test_accuracy` (before it), `dense_test_accuracy`, `flops_ratio` and
`params_ratio` (pruned over dense).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, cast

import numpy as np
import pandas as pd

from goodsubnet.errors import UserError
from goodsubnet.results.analysis import CELL, GROUP, require_columns, summary
from goodsubnet.results.reference import WORDS, paper_table

NETWORK = ["experiment", "network", "width"]
ROW = [*GROUP, "examples"]
# The paper's two FLOPs ratios are 0.2 apart: farther than half of that from both is neither.
NEAREST_FLOPS_RATIO = 0.1

LATEX = {
    **{each: f"\\{each}" for each in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "–": "--", "“": "``", "”": "''", "×": r"$\times$", "<": "$<$", ">": "$>$"},
}
MARKDOWN = {each: f"\\{each}" for each in "\\|*_`<[]"}


class Cell(NamedTuple):
    """What stands in one place: our number and the paper's (empty for none), in per cent."""

    ours: str
    paper: str
    bold: bool


class Row(NamedTuple):
    labels: list[str]
    cells: list[Cell | None]


class Layout(NamedTuple):
    labels: list[str]
    checkpoints: list[str]
    unit: str
    rows: list[Row]


class _Checkpoint(Protocol):
    """A row of the table, as far as it is written out."""

    iteration: int
    mean: float
    std: float
    paper_mean: float
    first_winning_ticket: bool


def accuracy_table(
    evaluations: pd.DataFrame,
    reference: str | None = None,
    architectures: Mapping[str, str] | None = None,
    iterations_per_epoch: float | None = None,
) -> pd.DataFrame:
    """Return the accuracy of the subnetworks at each checkpoint, over seeds, with the dense network's and the paper's.

    evaluations: the tidy table of one experiment. reference: "table1" or "table2" of the paper, or None for neither.
    architectures: network -> architecture (torchvision's name); a network that is not in it is named after its own.
    iterations_per_epoch: of the pre-training; Table 2 counts in epochs.

    One row per (experiment, network, width, method, examples, iteration), with the columns, accuracies in [0, 1],
    - `seeds`: the number of trials; `mean`, `std` (of the sample, divisor seeds - 1; NaN for one seed), `min`, `max`:
      test accuracy of the fine-tuned subnetwork over seeds; `mean_before_finetuning`: the same before it;
    - `flops_ratio`, `params_ratio`: pruned over dense, mean over seeds;
    - `dense_at_checkpoint`: mean test accuracy of the network that was pruned; `dense_mean`, `dense_std`: of the
      fully trained one, the last checkpoint of that network and number of examples;
    - `winning_ticket`: `mean` is at least (>=) `dense_mean`; `first_winning_ticket`: the earliest such checkpoint;
    - `paper_mean`, `paper_dense`: the paper's numbers, NaN where it has none for that architecture and checkpoint.

    The paper's Table 1 (CIFAR10) is matched by number of examples and iteration; Table 2 (ImageNet) by the nearest
    whole epoch and by the FLOPs ratio at the last checkpoint, if it is within 0.1 of the paper's, and only for the
    largest number of examples, as the paper trained on all. Source: Wolfe et al., TMLR 2024, Tables 1 and 2.

    Raises `UserError` where the table lacks a column or a cell, has a cell twice or several experiments, for an
    unknown reference, and for Table 2 without `iterations_per_epoch`.
    """
    require_columns(evaluations, [*GROUP, *CELL, "test_accuracy", "dense_test_accuracy"])
    experiments = evaluations["experiment"].unique()
    if len(experiments) > 1:
        raise UserError(f"a table shows one experiment; the evaluations hold {', '.join(map(str, experiments))}")
    table = summary(evaluations, "test_accuracy")
    others = {"mean_before_finetuning": "pruned_test_accuracy", "flops_ratio": "flops_ratio"}
    for name, column in {**others, "params_ratio": "params_ratio"}.items():
        # The same groups and cells, in the same order.
        table[name] = summary(evaluations, column)["mean"]
    # Each method repeats the dense network that it pruned.
    once = evaluations.drop_duplicates([*NETWORK, *CELL]).assign(method="dense")
    dense = summary(once, "dense_test_accuracy").drop(columns="method")
    place = [*NETWORK, "examples", "iteration"]
    at_checkpoint = dense[[*place, "mean"]].rename(columns={"mean": "dense_at_checkpoint"})
    last = dense.groupby(place[:-1], dropna=False)["iteration"].transform("max")
    trained = dense.loc[dense["iteration"] == last, [*place[:-1], "mean", "std"]]
    trained = trained.rename(columns={"mean": "dense_mean", "std": "dense_std"})
    table = table.merge(at_checkpoint, on=place, how="left").merge(trained, on=place[:-1], how="left")
    table["winning_ticket"] = table["mean"] >= table["dense_mean"]
    earlier = table.groupby(ROW, dropna=False)["winning_ticket"].cumsum()
    table["first_winning_ticket"] = table["winning_ticket"] & (earlier == 1)
    table[["paper_mean", "paper_dense"]] = _paper(table, reference, architectures or {}, iterations_per_epoch)
    first = [*ROW, "iteration", "seeds"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    return table.sort_values(["width", "network", "examples", "method", "iteration"], ignore_index=True)


def as_markdown(
    table: pd.DataFrame, title: str, reference: str | None = None, iterations_per_epoch: float | None = None
) -> str:
    """Return `accuracy_table`'s table as Markdown in the paper's layout, accuracies in per cent, with its notes.

    title: the words for the data set. reference and iterations_per_epoch: as in `accuracy_table`; with the latter the
    columns are epochs. Bold is the first winning ticket of a row; the paper's numbers are in brackets.
    """
    layout = _layout(table, iterations_per_epoch)

    def cell(found: Cell | None) -> str:
        if found is None:
            return "–"
        text = f"**{found.ours}**" if found.bold else found.ours
        return f"{text} ({found.paper})" if found.paper else text

    headers = [*layout.labels, *(f"{each} {layout.unit}" for each in layout.checkpoints), "dense, fully trained"]
    lines = [headers, ["---"] * len(layout.labels) + ["---:"] * (len(layout.checkpoints) + 1)]
    for row in layout.rows:
        lines.append([*(_escape(label, MARKDOWN) for label in row.labels), *map(cell, row.cells)])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = " ".join(_notes(table, reference, "in brackets", lambda text: f"**{text}**", MARKDOWN))
    return f"**{_escape(_caption(title), MARKDOWN)}**\n\n{body}\n\n{notes}\n"


def as_latex(
    table: pd.DataFrame, title: str, reference: str | None = None, iterations_per_epoch: float | None = None
) -> str:
    r"""Return the same as a LaTeX `table`, to be read with \input in a document that loads booktabs and graphicx.

    Arguments as in `as_markdown`. The paper's numbers are in a line of their own below ours. A table that is wider
    than the text is scaled down to it.
    """
    layout = _layout(table, iterations_per_epoch)
    count, last = len(layout.labels), len(layout.labels) + len(layout.checkpoints)
    lines = [
        f"{'& ' * count}\\multicolumn{{{last - count}}}{{c}}{{pre-training {layout.unit}}} & dense, \\\\",
        f"\\cmidrule(lr){{{count + 1}-{last}}}",
        " & ".join([*layout.labels, *layout.checkpoints, "fully trained"]) + r" \\",
    ]
    for before, row, after in zip([None, *layout.rows], layout.rows, [*layout.rows[1:], None], strict=False):
        new = before is None or before.labels[0] != row.labels[0]
        lines += [r"\midrule"] if new else []
        labels = [row.labels[0] if new else "", *row.labels[1:]]
        lines.append(" & ".join([*(_escape(label, LATEX) for label in labels), *map(_latex_cell, row.cells)]) + r" \\")
        paper = [cell.paper if cell else "" for cell in row.cells]
        # Once for several methods of the same network and size.
        same = (
            after
            and after.labels[:2] == row.labels[:2]
            and paper == [each.paper if each else "" for each in after.cells]
        )
        if any(paper) and not same:
            lines.append(" & ".join([f"\\multicolumn{{{count}}}{{r}}{{\\textit{{paper}}}}", *paper]) + r" \\[2pt]")
    notes = " ".join(_notes(table, reference, "in the lines “paper”", lambda text: f"\\textbf{{{text}}}", LATEX))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small\setlength{\tabcolsep}{4pt}%",
            f"\\caption{{{_escape(_caption(title), LATEX)}}}",
            f"\\sbox0{{\\begin{{tabular}}{{{'l' * count}{'r' * (last - count + 1)}}}",
            r"\toprule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            "",
            r"\medskip",
            f"\\begin{{minipage}}{{\\linewidth}}\\footnotesize {notes}\\end{{minipage}}",
            r"\end{table}",
            "",
        ]
    )


def _paper(
    table: pd.DataFrame, reference: str | None, architectures: Mapping[str, str], iterations_per_epoch: float | None
) -> np.ndarray:
    """Return the paper's accuracies (rows, 2) of the subnetwork and the dense network, in [0, 1]; NaN for none."""
    if reference is None:
        return np.full((len(table), 2), np.nan)
    paper = paper_table(reference)
    keys = pd.DataFrame({"model": table["network"].map(lambda name: architectures.get(name, name))})
    if reference == "table1":
        keys["dataset_size"], keys["step"] = table["examples"], table["iteration"]
    else:
        if not iterations_per_epoch or iterations_per_epoch <= 0:
            raise UserError(f"iterations_per_epoch is {iterations_per_epoch}; Table 2 needs it, a number above 0")
        keys["epoch"] = (table["iteration"] / iterations_per_epoch).round().astype(int)
        ratios = np.unique(paper["flops_ratio"])
        ours = table.groupby(ROW, dropna=False)["flops_ratio"].transform("last").to_numpy()
        nearest = ratios[np.abs(ours[:, None] - ratios).argmin(axis=1)]
        whole = table.groupby(NETWORK, dropna=False)["examples"].transform("max")
        fits = (np.abs(ours - nearest) <= NEAREST_FLOPS_RATIO) & (table["examples"] == whole)
        keys["flops_ratio"] = np.where(fits, nearest, np.nan)
    found = keys.merge(paper, how="left", on=list(keys.columns))
    return found[["pruned_accuracy", "dense_accuracy"]].to_numpy() / 100


def _layout(table: pd.DataFrame, iterations_per_epoch: float | None) -> Layout:
    """Return the table's rows and columns as text; what is written is not yet escaped."""
    iterations = np.unique(table["iteration"])
    several = table["method"].nunique() > 1
    rows = []
    for key, group in table.groupby(ROW, dropna=False, sort=False):
        names = dict(zip(ROW, key, strict=True))
        labels = [
            cast(str, names["network"]),
            f"{names['examples']:,}",
            *([cast(str, names["method"])] if several else []),
        ]
        labels += [_range(group[name]) for name in ("flops_ratio", "params_ratio")]
        found = {
            each.iteration: Cell(_spread(each.mean, each.std), _per_cent(each.paper_mean), each.first_winning_ticket)
            for each in cast(Iterable[_Checkpoint], group.itertuples(index=False))
        }
        dense = group.iloc[-1]
        paper = _per_cent(group["paper_dense"].max())
        trained = Cell(_spread(dense["dense_mean"], dense["dense_std"]), paper, False)
        rows.append(Row(labels, [*(found.get(iteration) for iteration in iterations), trained]))
    headers = ["network", "examples", *(["method"] if several else []), "FLOPs", "parameters"]
    if iterations_per_epoch:
        return Layout(headers, [f"{round(each / iterations_per_epoch, 1):,g}" for each in iterations], "epochs", rows)
    return Layout(headers, [f"{each:,}" for each in iterations], "iterations", rows)


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    mean, *std = cell.ours.split(" ± ")
    text = mean + "".join(f"{{\\scriptsize\\,$\\pm$\\,{each}}}" for each in std)
    return f"\\textbf{{{text}}}" if cell.bold else text


def _notes(
    table: pd.DataFrame, reference: str | None, where: str, bold: Callable[[str], str], escapes: Mapping[str, str]
) -> list[str]:
    """Return what the reader of the table must know, one sentence per item, ready to be printed."""
    low, high = table["seeds"].min(), table["seeds"].max()
    if high == 1:
        spread = "one seed, so there is no spread"
    else:
        spread = f"mean ± standard deviation (of the sample) over {high if low == high else f'{low} to {high}'} seeds"
    sentences = [_escape(f"Test accuracy in per cent after fine-tuning; {spread}.", escapes)]
    if table["first_winning_ticket"].any():
        meaning = (
            "the first winning ticket of a row, a subnetwork at least as accurate, in the mean, as the fully trained "
            "dense network."
        )
        sentences.append(f"{bold('Bold')}: {_escape(meaning, escapes)}")
    else:
        sentences.append("No winning ticket: no subnetwork is as accurate as the fully trained dense network.")
    size = "FLOPs and parameters: of the subnetwork, as shares of the dense network's; a range is over the checkpoints."
    sentences.append(_escape(size, escapes))
    if reference is not None and table[["paper_mean", "paper_dense"]].notna().any(axis=None):
        sentences.append(_escape(f"{where[0].upper()}{where[1:]}: {WORDS[reference]}.", escapes))
    return sentences


def _caption(title: str) -> str:
    return f"Subnetworks by amount of pre-training: {title}"


def _range(ratios: pd.Series) -> str:
    """Return a share of the dense network in per cent, or its range over the checkpoints."""
    ends = [f"{100 * ratio:.0f}" for ratio in (ratios.min(), ratios.max())]
    return "–".join(dict.fromkeys(ends)) + "%"


def _spread(mean: float, std: float) -> str:
    return _per_cent(mean) if np.isnan(std) else f"{_per_cent(mean)} ± {_per_cent(std)}"


def _per_cent(share: float) -> str:
    """Return a share in per cent with two decimals, as in the paper; empty for NaN."""
    return "" if np.isnan(share) else f"{100 * share:.2f}"


def _escape(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(letter, letter) for letter in text)
