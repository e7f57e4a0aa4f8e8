"""Array jobs of Snakemake's plugin for Slurm, mended in one place."""

import sys
from collections.abc import Sequence
from typing import Any


def arrays_of_equal_jobs() -> None:
    """Submit at once what was selected, and in one array only jobs that ask for the same.

    Of a rule that goes out as arrays, version 2.8 of the plugin holds back jobs while more of them are ready than were
    selected, and then forgets them: with a limit on jobs, a run never ended (6 jobs, `--jobs 2`). And each task of an
    array gets what the first one asks for, which may be less than the others need.
    """
    plugin = sys.modules.get("snakemake_executor_plugin_slurm")
    if plugin is None:
        return
    plugin.pending_jobs_for_rule = lambda dag, rule: 0
    submit = plugin.Executor.run_jobs

    def submit_equals(executor: Any, jobs: Sequence[Any]) -> None:
        alike: dict[str, list] = {}
        for job in jobs:
            alike.setdefault(f"{job.name} {sorted(job.resources.items())}", []).append(job)
        for group in alike.values():
            submit(executor, group)

    plugin.Executor.run_jobs = submit_equals
