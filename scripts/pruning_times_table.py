"""Tabulate the time that pruning takes with one worker and with several."""

import json

from goodsubnet.results.pruning_times import pruning_times_table
from goodsubnet.runtime.commands import inputs_by_stem, parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import TableSettings
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--times", required=True, nargs="+", help="the measurements, one file per part")
    args = arguments.parse_args(argv)
    settings = TableSettings.model_validate(args.settings)
    with Job("pruning_times_table", args.output, settings, inputs_by_stem(args.times)) as job:
        job.save(".csv", as_csv(pruning_times_table([json.loads(job.content(name)) for name in job.inputs])))


if __name__ == "__main__":
    run(main)
