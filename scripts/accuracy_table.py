"""Tabulate the accuracy of the subnetworks after each amount of pre-training, beside the paper's Table 1 or 2."""

import pandas

from goodsubnet.results.accuracy_table import accuracy_table, as_latex, as_markdown
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import AccuracyTableSettings


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    args = arguments.parse_args(argv)
    with Job(
        "accuracy_table", args.output, AccuracyTableSettings.model_validate(args.settings), {"table": args.table}
    ) as job:
        reference, per_epoch = job.settings.reference, job.settings.iterations_per_epoch
        table = accuracy_table(pandas.read_csv(args.table), reference, job.settings.architectures, per_epoch)
        job.save(".csv", table.to_csv(index=False, float_format="%.6g").encode())
        markdown = as_markdown(table, job.settings.title, reference, per_epoch)
        job.save(".md", markdown.encode())
        job.save(".tex", as_latex(table, job.settings.title, reference, per_epoch).encode())
        print(markdown)


if __name__ == "__main__":
    run(main)
