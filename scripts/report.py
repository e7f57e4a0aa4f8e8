"""Make Snakemake's self-contained HTML report of an experiment's figures and tables."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from goodsubnet.errors import UserError
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.stages import TableSettings


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--products", required=True, nargs="+", help="figures and tables to show")
    arguments.add_argument("--snakefile", required=True)
    arguments.add_argument("--configuration", required=True, type=json.loads, help="the whole of it, as JSON")
    args = arguments.parse_args(argv)
    inputs = {Path(path).name: path for path in args.products}
    with (
        Job("report", args.output, TableSettings.model_validate(args.settings), inputs) as job,
        tempfile.TemporaryDirectory() as folder,
    ):
        page, configuration = Path(folder, "report.html"), Path(folder, "config.json")
        configuration.write_text(json.dumps(args.configuration))
        command = [sys.executable, "-m", "snakemake", "--snakefile", args.snakefile, "--nolock"]
        command += ["--configfile", configuration, "--report", page, "--", *args.products]
        # The outer Snakemake waits for this job; to the inner one it must look as if nothing else ran.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE_")}
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        print(result.stdout, result.stderr)
        if result.returncode != 0:
            raise UserError(f"Snakemake could not make the report: see above, or run {' '.join(map(str, command))}")
        job.save(".html", page.read_bytes())


if __name__ == "__main__":
    run(main)
