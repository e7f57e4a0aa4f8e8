"""Draw a figure from its tables."""

import pandas

from goodsubnet.plots.canvas import render
from goodsubnet.plots.contract import figure_module, figure_names
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--figure", required=True, choices=figure_names())
    arguments.add_argument("--tables", required=True, nargs="+", help="in the order in which the figure names them")
    args = arguments.parse_args(argv)
    module = figure_module(args.figure)
    inputs = dict(zip(module.TABLES, args.tables, strict=True))
    settings = module.Settings.model_validate(args.settings)
    with Job("figure", args.output, settings, inputs, figure=args.figure) as job:
        tables = {name: pandas.read_csv(path) for name, path in job.inputs.items()}
        figure = module.draw(tables, job.settings)
        for kind in ("png", "pdf"):
            job.save(f".{kind}", render(figure, kind))


if __name__ == "__main__":
    run(main)
