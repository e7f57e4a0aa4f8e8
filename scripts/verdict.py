"""Write the page that says which claims hold, what is enough, and which rules would have stopped in time."""

from pathlib import Path

import pandas

from goodsubnet.claims.page import as_html
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import VerdictSettings
from goodsubnet.stopping.scores import overview


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--claims", required=True, help="the judgements")
    arguments.add_argument("--summary", required=True, help="the verdict of each claim")
    arguments.add_argument("--answers", nargs="*", default=[], help="the table of each experiment")
    arguments.add_argument("--scores", nargs="*", default=[], help="the scores of the stopping rules")
    arguments.add_argument("--figures", nargs="*", default=[], help="pictures, in the order of the settings")
    args = arguments.parse_args(argv)
    inputs = {"claims": args.claims, "summary": args.summary}
    for name in ("answers", "scores", "figures"):
        inputs |= {f"{name} {n}": path for n, path in enumerate(getattr(args, name))}
    with Job("verdict", args.output, VerdictSettings.model_validate(args.settings), inputs) as job:
        pictures = {
            (shown.experiment, shown.figure): (shown.title, Path(path).read_bytes(), shown.link)
            for shown, path in zip(job.settings.figures, args.figures, strict=True)
        }
        scores = together(args.scores)
        page = as_html(
            pandas.read_csv(args.claims),
            pandas.read_csv(args.summary),
            pictures,
            together(args.answers),
            None if scores is None else overview(scores),
            job.settings.links,
        )
        job.save(".html", page.encode())


def together(paths: list[str]) -> pandas.DataFrame | None:
    """Tables of the same columns as one; None where there is none."""
    return pandas.concat([pandas.read_csv(path) for path in paths], ignore_index=True) if paths else None


if __name__ == "__main__":
    run(main)
