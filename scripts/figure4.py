"""Draw and tabulate Figure 4: the time that pruning takes with one worker and with several."""

from pathlib import Path

from goodsubnet.jobs import Job, parser, run
from goodsubnet.plots.canvas import render
from goodsubnet.plots.pruning_times import figure4, pruning_times_table
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--times", required=True, nargs="+", help="the measurements, a file a part")
    args = arguments.parse_args(argv)
    inputs = {Path(path).stem: path for path in args.times}
    with Job("figure4", args.output, args.settings, inputs) as job:
        table = pruning_times_table([job.json(name) for name in inputs])
        figure = figure4(table, job.settings["style"])
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))
        job.save(".csv", as_csv(table))


if __name__ == "__main__":
    run(main)
