"""Run the stopping rules over the checkpoints as if online, and tabulate what each saves, loses and costs."""

from collections.abc import Iterator

import pandas

from goodsubnet.audit import Audit
from goodsubnet.jobs import Job, parser, run
from goodsubnet.stopping.observation import Observation
from goodsubnet.stopping.scores import accuracies_of, score_trial, scores
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--plan", required=True, help="the settings that each artifact must have")
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    args = arguments.parse_args(argv)
    with Job("stopping", args.output, args.settings, {"plan": args.plan, "table": args.table}) as job:
        audit, settings = Audit(job.json("plan")), job.settings
        observed = list(gather(audit))
        audit.conclude(job)
        evaluations = pandas.read_csv(args.table)
        method, column = settings["method"], settings["accuracy"]
        rows = []
        for trial, observations in observed:
            accuracies = accuracies_of(evaluations, trial, method, column)
            batch = trial["examples"] if settings["batch_size"] == "full" else settings["batch_size"]
            names = {**trial, "method": method}
            rows += score_trial(
                names,
                observations,
                accuracies,
                settings["rules"],
                settings["iterations"],
                min(batch, trial["examples"]),
            )
        stops = pandas.DataFrame(rows).astype({"stopped_at": "Int64", "width": "Int64"})
        job.save(".csv", as_csv(stops))
        table = scores(stops)
        job.save(".scores.csv", as_csv(table))
        print(table.to_string())


def gather(audit: Audit) -> Iterator[tuple[dict, list[Observation]]]:
    """Names and observations of each training, in order; nothing of those where something does not fit."""
    for trial, sources, checkpoints in audit.trainings():
        observations = []
        foreign = trial["network"] in audit.plan["grid"].get("foreign", {})
        first = {"first": next(iter(checkpoints.values()))} if foreign else {}
        for iteration, checkpoint in checkpoints.items():
            paths, cell = {**sources, **first, "checkpoint": checkpoint}, {**trial, "iteration": iteration}
            path = audit.check("observe", f"observe {trial['network']}", paths, cell)
            if not audit.unfit:
                observations.append(Observation.from_dict(audit.read(path)))
        if not audit.unfit:
            yield {name: value for name, value in trial.items() if name != "dataset"}, observations


if __name__ == "__main__":
    run(main)
