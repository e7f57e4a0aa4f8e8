"""The paper's sweep in simulation: how long its jobs take on many devices, what they cost, and where more do not help.

    python benchmarks/sweep.py --measure                       time each kind of job of config/config.yaml, and simulate
    python benchmarks/sweep.py                                 simulate with the times that were measured before
    python benchmarks/sweep.py --results results               seconds that finished jobs recorded win over those
    python benchmarks/sweep.py --experiment figure1 theory     these alone, with --measure: time these alone
    python benchmarks/sweep.py --device cuda --measure         on an accelerator

The jobs are those of Snakemake's own dry run. Their seconds are measured by `sweep_seconds.py`, on this machine and one
job at a time; how jobs that run side by side slow each other down is not in them. With `--device cpu` a device is a
core, and a job takes as many as it has threads; with `--device cuda` a device is an accelerator with `--cores` cores.
"""

import argparse
import contextlib
import heapq
import io
import itertools
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("src", "scripts", "workflow")]
DEVICES = (1, 2, 8, 64)
NEAR = 1.05  # times the critical path: more devices gain nothing worth having
MOST_DEVICES = 2**16


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    rule, wildcards, threads: Snakemake's. accelerators: how many it asks for where there are any. needs: numbers of the
    jobs whose outputs it reads. settings: its stage's. stage: its script. provenance: its sidecar, below
    results_dir. reads: bytes of its inputs, roughly.
    """

    rule: str
    wildcards: dict[str, str]
    threads: int
    accelerators: int
    needs: tuple[int, ...]
    settings: dict[str, Any]
    stage: str
    provenance: str
    reads: float


def jobs_of(configfile: Path, targets: Sequence[str]) -> tuple[list[Job], Any]:
    """The jobs that Snakemake would run where nothing has been made, and the workflow's rough costs.

    targets: names of target rules; none: the default. Raises SystemExit with Snakemake's words where it would not run.
    """
    import yaml
    from chain import Chain
    from machine import Machine as Computer
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings
    from sweep_seconds import Rough

    from goodsubnet.runtime.devices import VARIABLE
    from goodsubnet.settings import load_configuration

    configuration = yaml.safe_load(configfile.read_text())
    costs = Rough(Chain(load_configuration(configuration)), Computer(accelerated=False))
    said = io.StringIO()
    before = dict(os.environ)
    # The rules ask for an accelerator only where they see one.
    os.environ[VARIABLE] = "0"
    try:
        with (
            tempfile.TemporaryDirectory() as empty,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            SnakemakeApi(OutputSettings(dryrun=True)) as api,
        ):
            workflow = api.workflow(
                ResourceSettings(cores=MOST_DEVICES),
                ConfigSettings(configfiles=[configfile], config={"results_dir": empty, "device": "auto"}),
                snakefile=ROOT / "Snakefile",
            )
            plan = workflow.dag(DAGSettings(targets=set(targets)))
            try:
                plan.execute_workflow(executor="dryrun")
            except Exception as error:
                api.print_exception(error)
                raise SystemExit(said.getvalue()) from None
            # Snakemake's interface gives no access to the graph of jobs.
            dag = workflow._workflow.dag
            # Figure 4's measurements hold a whole machine, whatever its size; they are in no schedule.
            found = [job for job in dag.jobs if not job.is_norun and job.threads < MOST_DEVICES]
            numbers = {job: number for number, job in enumerate(found)}
            written = [costs.of(job.rule.name, job.wildcards_dict)[1] for job in found]
            jobs = []
            for job in found:
                needs = tuple(sorted(numbers[need] for need in dag.dependencies[job] if need in numbers))
                (provenance,) = (str(path) for path in job.output if str(path).endswith(".provenance.json"))
                jobs.append(
                    Job(
                        rule=job.rule.name,
                        wildcards=dict(job.wildcards_dict),
                        threads=job.threads,
                        accelerators=job.resources.get("gpu", 0),
                        needs=needs,
                        settings=json.loads(job.params.settings),
                        stage=re.search(r"(\w+)\.py", job.rule.shellcmd)[1],
                        provenance=os.path.relpath(provenance, empty),
                        reads=sum(written[need] for need in needs),
                    )
                )
    finally:
        os.environ.clear()
        os.environ.update(before)
    return jobs, costs


@dataclass(frozen=True)
class Task:
    """What the simulation knows of a job: its seconds, the cores and devices that it takes, what it waits for."""

    seconds: float
    cores: int
    devices: int
    needs: tuple[int, ...]
    reads: float = 0.0


def longest_chains(tasks: Sequence[Task]) -> list[float]:
    """Seconds from each task's start to the end of the last one that waits for it. Raises ValueError on a cycle."""
    followers, waiting = _followers(tasks)
    order = [number for number, count in enumerate(waiting) if count == 0]
    for number in order:
        for follower in followers[number]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                order.append(follower)
    if len(order) < len(tasks):
        raise ValueError("tasks wait for each other in a circle")
    chains = [0.0] * len(tasks)
    for number in reversed(order):
        chains[number] = tasks[number].seconds + max((chains[each] for each in followers[number]), default=0.0)
    return chains


def critical_path(tasks: Sequence[Task]) -> list[int]:
    """The tasks of the longest chain, in their order."""
    chains, (followers, _) = longest_chains(tasks), _followers(tasks)
    starts = [number for number, task in enumerate(tasks) if not task.needs]
    path = []
    while starts:
        path.append(max(starts, key=chains.__getitem__))
        starts = followers[path[-1]]
    return path


def simulate(tasks: Sequence[Task], cores: int, devices: int, order: str = "inputs") -> list[tuple[float, float]]:
    """List scheduling: whenever something is free, ready tasks start, the first in the order that fit.

    order: "inputs", as Snakemake's greedy scheduler, those that read most first; or "chain", those with the longest
    chain of work behind them. Returns each task's start and end, in seconds. Raises ValueError where a task needs more
    than there is, or on a cycle.
    """
    for task in tasks:
        if task.cores > cores or task.devices > devices:
            raise ValueError(f"a task needs {task.cores} cores and {task.devices} devices: {cores} and {devices} exist")
    chains = longest_chains(tasks)
    ranks = chains if order == "chain" else [task.reads for task in tasks]
    followers, waiting = _followers(tasks)
    # One queue for each pair of demands: what does not fit is then asked once, not once for every task.
    ready: dict[tuple[int, int], list[tuple[float, int]]] = {}
    running: list[tuple[float, int]] = []
    times = [(0.0, 0.0)] * len(tasks)

    def make_ready(number: int) -> None:
        demand = (tasks[number].cores, tasks[number].devices)
        heapq.heappush(ready.setdefault(demand, []), (-ranks[number], number))

    for number in range(len(tasks)):
        if waiting[number] == 0:
            make_ready(number)
    now = 0.0
    while True:
        while fitting := [
            (queue[0], demand)
            for demand, queue in ready.items()
            if queue and demand[0] <= cores and demand[1] <= devices
        ]:
            (_, number), demand = min(fitting)
            heapq.heappop(ready[demand])
            cores, devices = cores - demand[0], devices - demand[1]
            times[number] = (now, now + tasks[number].seconds)
            heapq.heappush(running, (times[number][1], number))
        if not running:
            return times
        now = running[0][0]
        while running and running[0][0] <= now:
            _, number = heapq.heappop(running)
            cores, devices = cores + tasks[number].cores, devices + tasks[number].devices
            for follower in followers[number]:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    make_ready(follower)


def _followers(tasks: Sequence[Task]) -> tuple[list[list[int]], list[int]]:
    followers = [[] for _ in tasks]
    for number, task in enumerate(tasks):
        for need in task.needs:
            followers[need].append(number)
    return followers, [len(task.needs) for task in tasks]


class Machine:
    """So many devices: accelerators with cores beside them, or cores alone (cores_each is 0)."""

    def __init__(self, tasks: Sequence[Task], cores_each: int, order: str) -> None:
        self.tasks, self.cores_each, self.order = tasks, cores_each, order
        self.core_seconds = sum(task.seconds * task.cores for task in tasks)
        self.device_seconds = sum(task.seconds * task.devices for task in tasks)
        # Devices that the largest task takes.
        self.least = max(max(task.devices, -(-task.cores // max(cores_each, 1))) for task in tasks)

    def makespan(self, count: int) -> float:
        """Seconds that all tasks take on so many devices."""
        cores, devices = (count * self.cores_each, count) if self.cores_each else (count, 0)
        return max(end for _, end in simulate(self.tasks, cores, devices, self.order))

    def efficiency(self, count: int, makespan: float) -> float:
        """Share of the devices' time in which they work."""
        return (self.device_seconds if self.cores_each else self.core_seconds) / (count * makespan)

    def limit(self, enough) -> int:
        """The smallest number of devices for which enough(number, makespan) is true, by bisection."""
        low, high = self.least - 1, self.least
        while not enough(high, self.makespan(high)):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle, self.makespan(middle)) else (middle, high)
        return high


def hours(seconds: float) -> str:
    amount = seconds / 3600
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:,.1f}" if amount >= 1 else f"{amount:.3f}"


def report(what: str, jobs: Sequence[Job], seconds: Sequence[float | None], cores_each: int, order: str) -> None:
    """Print the table of some jobs."""
    missing = Counter(job.rule for job, value in zip(jobs, seconds, strict=True) if value is None)
    print(f"\n{what}: {len(jobs):,} jobs")
    if not any(seconds):
        print("nothing of it was measured")
        return
    if missing:
        print("not measured, counted as 0 s: " + ", ".join(f"{rule} ({count})" for rule, count in missing.items()))
    tasks = [
        Task(value or 0.0, job.threads, job.accelerators if cores_each else 0, job.needs, job.reads)
        for job, value in zip(jobs, seconds, strict=True)
    ]
    machine, path = Machine(tasks, cores_each, order), critical_path(tasks)
    critical = sum(tasks[number].seconds for number in path)
    gpu = hours(machine.device_seconds) if cores_each else "not measured"
    print(f"used: {hours(machine.core_seconds)} core-hours; gpu-hours: {gpu}")
    print(f"{'devices':>7} {'cores':>6} {'hours':>8} {'efficiency':>10} {'core-hours held':>15} {'gpu-hours held':>15}")
    for count in DEVICES:
        cores = count * max(cores_each, 1)
        if count < machine.least:
            print(f"{count:7} {cores:6} too few for a job that takes {machine.least}")
            continue
        makespan = machine.makespan(count)
        efficiency = machine.efficiency(count, makespan)
        gpu = hours(makespan * count) if cores_each else "not measured"
        row = f"{count:7} {cores:6} {hours(makespan):>8} {efficiency:10.0%} {hours(makespan * cores):>15} {gpu:>15}"
        print(row + ("  (more than this machine has)" if cores > (os.cpu_count() or 1) else ""))
    print(f"critical path: {hours(critical)} h, {len(path)} jobs: {described(path, jobs, tasks)}")
    near = machine.limit(lambda count, makespan: makespan <= NEAR * critical)
    wasteful = machine.limit(lambda count, makespan: machine.efficiency(count, makespan) < 0.5)
    print(f"stops scaling: from {near} on within 5% of the critical path; from {wasteful} on less than half is used")


def described(path: Sequence[int], jobs: Sequence[Job], tasks: Sequence[Task]) -> str:
    """The jobs of a path that take more than a hundredth of it: how many of each rule, of what, hours."""
    parts, whole = [], sum(tasks[number].seconds for number in path)
    for rule, group in itertools.groupby(path, key=lambda number: jobs[number].rule):
        numbers = list(group)
        names = jobs[numbers[-1]].wildcards
        seconds = sum(tasks[number].seconds for number in numbers)
        if seconds > whole / 100:
            of = [names[name] for name in ("network", "examples") if name in names]
            parts.append(" ".join([str(len(numbers)), rule, *of, f"({hours(seconds)} h)"]))
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, default=ROOT / "config/config.yaml")
    parser.add_argument(
        "--experiment", nargs="+", default=[], help="these alone, not all of the configuration's targets"
    )
    parser.add_argument("--measure", action="store_true", help="time the kinds of jobs first")
    parser.add_argument(
        "--seconds", type=Path, default=Path("results/job_seconds.csv"), help="where the times are kept"
    )
    parser.add_argument("--results", type=Path, nargs="+", default=[], help="folders of runs that were made")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cores", type=int, default=8, help="beside each accelerator")
    parser.add_argument("--order", choices=("inputs", "chain"), default="inputs", help="of the jobs that are ready")
    args = parser.parse_args()
    from sweep_measure import measure
    from sweep_seconds import Seconds

    jobs, costs = jobs_of(args.configfile.resolve(), args.experiment)
    if args.measure:
        measure(jobs, costs, args.device, args.seconds)
    known = Seconds(jobs, costs, args.device, args.seconds, args.results)
    seconds = [known.of(job) for job in jobs]
    known.compare()
    cores_each = args.cores if args.device == "cuda" else 0
    print(f"\nsimulated, from times measured on a machine of {os.cpu_count()} cores; order of ready jobs: {args.order}")
    # The verdict's jobs are of no experiment, and count among all.
    ours = [job.provenance.split("/") for job in jobs if job.rule != "prepare"]
    names = list(dict.fromkeys(folder for folder, *below in ours if below))
    if len(names) > 1:
        report("all", jobs, seconds, cores_each, args.order)
    for name in names:
        report(name, *part_of(name, jobs, seconds), cores_each, args.order)


def part_of(
    experiment: str, jobs: Sequence[Job], seconds: Sequence[float | None]
) -> tuple[list[Job], list[float | None]]:
    """The jobs of an experiment and their seconds, with the preparation of its data set."""
    chosen = {number for number, job in enumerate(jobs) if job.provenance.split("/")[0] == experiment}
    chosen |= {need for number in chosen for need in jobs[number].needs}
    numbers = {number: new for new, number in enumerate(sorted(chosen))}
    part = [
        Job(**{**vars(jobs[number]), "needs": tuple(numbers[need] for need in jobs[number].needs)})
        for number in numbers
    ]
    return part, [seconds[number] for number in numbers]


if __name__ == "__main__":
    main()
