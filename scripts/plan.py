"""Write down the settings that a table must be made with, under a name that changes with them.

The name makes Snakemake make the table again after every change, even where its own records were lost.
"""

from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import PlanSettings


def main(argv: list[str] | None = None) -> None:
    args = parser(__doc__).parse_args(argv)
    with Job("plan", args.output, PlanSettings.model_validate(args.settings), {}) as job:
        # One plan at a time: after a change and a change back, the first plan must be a new file again.
        for other in args.output.parent.glob("*.json"):
            if other.name.split(".")[0] != job.stem:
                other.unlink()
        job.save_json(job.settings.plan)


if __name__ == "__main__":
    run(main)
