"""Find the checkpoint from which pre-training is enough, and state it in one line."""

import pandas

from goodsubnet.results.answers import answers, sentence
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import AnswersSettings
from goodsubnet.theory.text import as_csv


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--table", required=True, help="the measurements of the experiment")
    args = arguments.parse_args(argv)
    with Job("answers", args.output, AnswersSettings.model_validate(args.settings), {"table": args.table}) as job:
        settings = job.settings
        table = answers(pandas.read_csv(args.table), settings.accuracy, settings.margin)
        line = sentence(table, settings.method)
        job.save(".csv", as_csv(table))
        job.save(".txt", f"{line}\n".encode())
        print(line, table.to_string(), sep="\n\n")


if __name__ == "__main__":
    run(main)
