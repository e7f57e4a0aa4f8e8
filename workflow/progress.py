"""What a run reports: its jobs and what they will cost before it starts, how far it is, why a job failed.

Listens to Snakemake's events; the profile keeps Snakemake's own account of each job out of the terminal.
"""

import logging
import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain import Chain
from machine import Machine
from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent
from stages.base import Cost

if TYPE_CHECKING:
    from snakemake.workflow import Workflow

LOG_LINES = 20
# Bytes: with less, a disk is full, on which a job may not even have said so in its log.
FULL = 1 << 16
SECONDS_BETWEEN_LINES = 15
# Files that hold a line for the end of a run, and the rule of the page that shows all.
SENTENCES = ("/answers.txt", "/claims.txt")
PAGE = "verdict"


# Events that the lines below replace.
REPLACED = {
    LogEvent.RUN_INFO,
    LogEvent.RESOURCES_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.PROGRESS,
}


# Lines that say nothing here, or whose advice (to look at times alone, to wipe metadata) would bring stale results.
UNWANTED = (
    "Select jobs to execute",
    "Reasons:",
    "Some jobs were triggered by provenance",
    "If you prefer that only modification time",
    "If you are sure that a change",
    "Rules with provenance triggered jobs",
)


class Reporter(logging.Filter):
    """Reports a run on the standard error stream. workflow: Snakemake's. machine: the one that it runs on.

    Snakemake's own lines, where ours replace them, are shown with `--quiet host`, and are always in its log file.
    """

    def __init__(self, workflow: "Workflow", chain: Chain, machine: Machine) -> None:
        super().__init__()
        self.workflow, self.chain, self.machine = workflow, chain, machine
        self.jobs: dict[int, float] = {}
        self.began = self.printed = time.monotonic()
        self.started = time.time()
        self.spent = 0.0
        self.announced = False

    def filter(self, record: logging.LogRecord) -> bool:
        # Snakemake puts what it has to say into a record's attributes.
        said = vars(record)
        event = said.get("event")
        if event == LogEvent.RUN_INFO and not self.announced:
            self.announced = True
            self.announce()
        elif event == LogEvent.JOB_FINISHED:
            self.spent += self.jobs.get(said["job_id"], 0.0)
        elif event == LogEvent.PROGRESS:
            self.progress(said["done"], said["total"])
            if said["done"] == said["total"]:
                self.conclude()
        elif event == LogEvent.JOB_ERROR:
            self._failure(said)
        elif str(record.msg).startswith(NOTHING_TO_BE_DONE_MSG):
            self.conclude()
        if event in REPLACED or str(record.msg).startswith(UNWANTED):
            record.quietness = Quietness.RULES
        return True

    def announce(self) -> None:
        """The jobs of each stage, and a rough estimate of time and disk."""
        cluster = self.workflow.resource_settings.nodes is not None
        # How many jobs of a cluster run at once is not known: the sum is reported.
        cores = 1 if cluster else os.cpu_count() if self.workflow.dryrun else self.workflow.cores
        counts: Counter[str] = Counter()
        seconds: dict[str, float] = defaultdict(float)
        disk = 0.0
        for job in self.workflow.dag.needrun_jobs():
            if job.is_norun:
                continue
            stage = self.chain.stages.get(job.rule.name)
            cost = Cost(2.0) if stage is None else stage.cost(job.wildcards_dict, self.machine)
            # Not `job.threads`: in a dry run Snakemake believes that there is one core.
            threads = min(job.rule.resources["_cores"].evaluate(job.wildcards).value, cores)
            self.jobs[job.jobid] = cost.seconds * threads
            counts[job.rule.name] += 1
            seconds[job.rule.name] += cost.seconds * threads / cores
            disk += cost.size
        # In the order of the rules, which is that of the data.
        names = [rule.name for rule in self.workflow.rules if rule.name in counts]
        width = max(map(len, names), default=0)
        lines = ["", f"{'stage'.ljust(width)}    jobs   about"]
        lines += [f"{name.ljust(width)} {counts[name]:7,}   {duration(seconds[name])}" for name in names]
        total, free = sum(seconds.values()), shutil.disk_usage(self.folder()).free
        lines += [f"{'total'.ljust(width)} {counts.total():7,}   {duration(total)}", ""]
        what = (
            "the sum over all jobs, on one core each, without waiting"
            if cluster
            else f"for {cores} of this machine's cores"
        )
        faster = "; an accelerator is much faster" if self.machine.accelerated else ""
        lines.append(f"A rough estimate, {what}{faster}. Disk: {amount(disk)}, {amount(free)} are free.")
        configuration = self.chain.configuration
        if cluster and configuration.device == "auto":
            lines.append(
                "All jobs take CPUs, because other machines' accelerators are not known; `device: cuda` asks for them."
            )
        off = [name for name in configuration.targets if configuration.switched_off(name)]
        lines += [f"{name} is left out: its folder of images is not named (path: null)." for name in off]
        if disk > free:
            lines.append("The disk is too small for this run; see keep_checkpoints and results_dir.")
        self.say("\n".join(lines) + "\n")

    def folder(self) -> Path:
        """The nearest existing folder among those that will hold the results."""
        results = Path(self.chain.configuration.results_dir).absolute()
        return next(folder for folder in [results, *results.parents] if folder.is_dir())

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.printed < SECONDS_BETWEEN_LINES and done < total:
            return
        self.printed = now
        work = sum(self.jobs.values())
        left = ""
        if self.spent > 0 and done < total:
            left = f", about {duration((now - self.began) / self.spent * (work - self.spent))} left"
        filled = round(30 * (self.spent / work if work else 1))
        self.say(f"[{'#' * filled}{'.' * (30 - filled)}] {done:,} of {total:,} jobs{left}")

    def conclude(self) -> None:
        """What came out: the lines among the files that were asked for, and the page that shows all."""
        if self.workflow.dryrun:
            return
        jobs = list(self.workflow.dag.jobs)
        asked = sorted(str(path) for job in jobs for path in job.output if str(path).endswith(SENTENCES))
        # Experiment by experiment; what concerns all of them comes last.
        asked.sort(key=lambda path: path.count("/"), reverse=True)
        lines = [Path(path).read_text().strip() for path in asked if Path(path).exists()]
        lines += [f"All of it on one page: {job.output[0]}" for job in jobs if job.rule.name == PAGE]
        if lines:
            self.say("\n" + "\n".join(lines) + "\n")

    def _failure(self, said: Mapping[str, Any]) -> None:
        self.say(f"\nThe job {said['rule_name']} failed ({', '.join(said['output'])}).")
        if said.get("rule_msg"):
            # What the cluster says of it; the command that follows is of no use to people.
            self.say(said["rule_msg"].split("sbatch call:")[0].strip())
        told = False
        for path in said["log"]:
            try:
                lines = Path(path).read_text(errors="replace").splitlines()
                old = Path(path).stat().st_mtime < self.started
            except OSError:
                continue
            if old or not lines:
                continue
            shown = "\n".join(f"    {line}" for line in lines[-LOG_LINES:])
            self.say(f"The end of its log, {path}:\n{shown}\n")
            told = True
        folder = self.folder()
        if not told and shutil.disk_usage(folder).free < FULL:
            self.say(f"Its log is empty. {folder}: No space left on device")

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{max(1, seconds):.0f} s"


def amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
