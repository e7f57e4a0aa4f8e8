"""Tabulate from which iteration on a subnetwork is good, for each width, number of examples and method."""

import pandas

from goodsubnet.analysis import required_pretraining
from goodsubnet.jobs import Job, parser, run


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    args = arguments.parse_args(argv)
    with Job("required_pretraining", args.output, args.settings, {"table": args.table}) as job:
        table = required_pretraining(pandas.read_csv(args.table), accuracy=job.settings["accuracy"])
        job.save(".csv", table.to_csv(index=False, float_format="%.6g").encode())
        print(table.to_string())


if __name__ == "__main__":
    run(main)
