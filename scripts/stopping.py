"""Run the stopping rules over the checkpoints as if online, and tabulate what each saves, loses and costs."""

import itertools

import pandas

from goodsubnet.runtime.audit import Audit, Cell
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import StoppingSettings
from goodsubnet.stopping.observation import Observation
from goodsubnet.stopping.scores import accuracies_of, score_trial, scores
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    args = arguments.parse_args(argv)
    with Job(
        "stopping",
        args.output,
        StoppingSettings.model_validate(args.settings),
        {"plan": args.plan, "table": args.table},
    ) as job:
        audit, settings = Audit.by_plan(job), job.settings
        observed = gather(audit)
        audit.conclude(job)
        evaluations = pandas.read_csv(args.table)
        rows = []
        for trial, observations in observed:
            examples = trial["examples"]
            batch = examples if settings.batch_size == "full" else min(settings.batch_size, examples)
            rows += score_trial(
                {**trial, "method": settings.method},
                observations,
                accuracies_of(evaluations, trial, settings.method, settings.accuracy),
                settings.rules,
                settings.iterations,
                batch,
            )
        stops = pandas.DataFrame(rows).astype({"stopped_at": "Int64", "width": "Int64"})
        job.save(".csv", as_csv(stops))
        table = scores(stops)
        job.save(".scores.csv", as_csv(table))
        print(table.to_string())


def gather(audit: Audit) -> list[tuple[dict, list[Observation]]]:
    """Names and observations of each training, in order; nothing where something does not fit."""
    trainings = []
    for trial, cells in itertools.groupby(audit.rows("observe"), key=trial_of):
        trainings.append((trial, [Observation.from_dict(audit.read(cell.path)) for cell in cells]))
    return trainings


def trial_of(cell: Cell) -> dict:
    """What names the training of a checkpoint."""
    return {name: value for name, value in cell.names.items() if name not in ("dataset", "iteration")}


if __name__ == "__main__":
    run(main)
