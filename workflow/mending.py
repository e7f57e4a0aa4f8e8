"""Fixes for faults in other packages: each for the versions in which the fault was seen; others are left alone."""

import functools
import importlib.metadata
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from snakemake.logging import logger

if TYPE_CHECKING:
    from snakemake.scheduling.job_scheduler import JobScheduler

SEEN = {"snakemake": ("9.27",), "snakemake-executor-plugin-slurm": ("2.8",)}
"""Package -> the beginnings of the versions that have the fault."""


def for_versions_of(package: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mend only the versions of a package in which the fault was seen; with another one, warn."""

    def decorate(mend: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(mend)
        def careful(*arguments: object) -> None:
            try:
                version = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                return
            if version.startswith(tuple(f"{seen}." for seen in SEEN[package])):
                mend(*arguments)
            else:
                said = (mend.__doc__ or "").splitlines()[0]
                logger.warning(
                    f"{package} {version} is another version than {', '.join(SEEN[package])}, for which this is done: "
                    f"{said} It is left as it is."
                )

        return careful

    return decorate


@for_versions_of("snakemake")
def one_timer_at_a_time() -> None:
    """Wake the scheduler once a second, not once a second for each job that has finished.

    Because of its limit of jobs per second (100 by default), Snakemake 9.27 ends every turn of its scheduler by setting
    a timer that begins another turn. So each finished job starts one more endless chain of turns, and the work grows
    with the square of the number of jobs. One timer that waits is enough for all.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    waiting = threading.Lock()

    def set_timer(scheduler: "JobScheduler", delay: float) -> None:
        if not waiting.acquire(blocking=False):
            return

        def wake() -> None:
            waiting.release()
            scheduler._open_jobs.release()

        timer = threading.Timer(delay, wake)
        timer.daemon = True
        timer.start()

    JobScheduler._schedule_reevalutation = set_timer


@for_versions_of("snakemake-executor-plugin-slurm")
def whole_arrays_of_equal_jobs() -> None:
    """Submit at once what was selected, and in one array only jobs that ask for the same.

    For a rule whose jobs go out as arrays, version 2.8 of the plugin holds back jobs while more of them are ready than
    were selected, and then forgets them: with a limit on jobs, a run never ended (6 jobs, `--jobs 2`). And each task of
    an array gets what the first one asks for, which may be less than the others need.
    """
    plugin = sys.modules.get("snakemake_executor_plugin_slurm")
    if plugin is None:
        return
    plugin.pending_jobs_for_rule = lambda dag, rule: 0  # type: ignore[attr-defined]  # mended on purpose
    submit = plugin.Executor.run_jobs

    def submit_equals(executor: Any, jobs: Sequence[Any]) -> None:
        alike: dict[str, list[Any]] = {}
        for job in jobs:
            alike.setdefault(f"{job.name} {sorted(job.resources.items())}", []).append(job)
        for group in alike.values():
            submit(executor, group)

    plugin.Executor.run_jobs = submit_equals
