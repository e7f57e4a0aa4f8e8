"""Judge the claims on the tables of the runs in docs/, and put the verdicts into their pages.

    python studies/verdicts.py            # docs/verdicts.csv, and the tables between the marks of each page
    python studies/verdicts.py --check    # changes nothing, and ends with 1 where something would change

Only what a run had among its tables is judged; docs/verdicts.csv has one row per run and claim.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pandas
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(ROOT / "workflow"))

from chain import Chain  # noqa: E402

from goodsubnet.claims import ExperimentResults, judge, summary  # noqa: E402
from goodsubnet.claims.page import effect_words  # noqa: E402
from goodsubnet.settings import load_configuration  # noqa: E402
from goodsubnet.theory.text import as_csv  # noqa: E402

BEGIN, END = "<!-- verdicts: written by studies/verdicts.py -->\n", "<!-- end of verdicts -->"


class Run(NamedTuple):
    """A run in docs/: its page, configuration and experiments, and its tables, named as `judge` names them."""

    page: str
    configuration: str
    experiments: tuple[str, ...]
    tables: dict[str, str]


RUNS = {
    "mnist_small": Run(
        "small_run.md",
        "mnist_small.yaml",
        ("mnist_small", "mnist_small_plain", "mnist_methods"),
        {name: f"mnist_small_{name}.csv" for name in ("evaluations", "terms", "violations")},
    ),
    "theory": Run(
        "theory_run.md",
        "config.yaml",
        ("theory",),
        {
            "terms": "theory_terms.csv",
            "violations": "theory_violations.csv",
            "singular_value_fits": "figure2_fits.csv",
        },
    ),
    "pruning_times": Run("distributed.md", "config.yaml", (), {"pruning_times": "figure4.csv"}),
    "cifar10_jpeg": Run(
        "cifar10_run.md", "cifar10_jpeg.yaml", ("cifar10_jpeg",), {"evaluations": "cifar10_jpeg_evaluations.csv"}
    ),
}


def judgements(run: Run) -> pandas.DataFrame:
    """All judgements of a run."""
    chain = Chain(load_configuration(yaml.safe_load((ROOT / "config" / run.configuration).read_text())))
    tables = {name: pandas.read_csv(DOCS / file) for name, file in run.tables.items()}
    results = []
    for described in json.loads(chain.settings("claims", {}))["experiments"]:
        if described["name"] not in run.experiments:
            continue
        own = {
            name: table[table["experiment"] == described["name"]]
            for name, table in tables.items()
            if "experiment" in table
        }
        results.append(ExperimentResults(**described, **{name: table for name, table in own.items() if len(table)}))
    return judge(results, **{name: table for name, table in tables.items() if "experiment" not in table})


def as_markdown(verdicts: pandas.DataFrame) -> str:
    """The table of a page; claims that the run cannot answer in a line below it, unless it is about one alone."""
    ran = verdicts["verdict"] != "not run"
    lines = ["| | claim | verdict | what decides it | all judgements |", "|---|---|---|---|---|"]
    for row in verdicts[ran].to_dict("records"):
        names = ", ".join(str(row[name]) for name in ("experiment", "lr_scaling", "part") if row[name])
        words = [effect_words(row), row["judgement_reason"] if row["verdict"] == "undecided" else ""]
        decides = f"{'; '.join(filter(None, words))} ({names})"
        lines.append(f"| {row['claim']} | {row['statement']} | **{row['verdict']}** | {decides} | {row['reason']} |")
    text = "\n".join(lines) + "\n"
    left = verdicts.loc[~ran, "claim"]
    return f"{text}\nNot run here: {', '.join(map(str, left))}.\n" if ran.sum() > 1 else text


def changed(path: Path, text: str, check: bool) -> bool:
    """Whether the file is another one; it is written, unless this is a check."""
    same = path.exists() and path.read_text() == text
    if not same and not check:
        path.write_text(text)
    return not same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    tables, stale = [], []
    for name, run in RUNS.items():
        verdicts = summary(judgements(run))
        tables.append(verdicts.assign(run=name)[["run", *verdicts.columns]])
        page = DOCS / run.page
        before, _, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not end:
            raise SystemExit(f"{page} has no place for the verdicts:\n{BEGIN}{END}")
        if changed(page, f"{before}{BEGIN}\n{as_markdown(verdicts)}\n{END}{after}", args.check):
            stale.append(page.name)
    path = DOCS / "verdicts.csv"
    if changed(path, as_csv(pandas.concat(tables)).decode(), args.check):
        stale.append(path.name)
    print(f"{'stale' if args.check else 'written'}: {', '.join(stale) or 'nothing'}")
    if args.check and stale:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
