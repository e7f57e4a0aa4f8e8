"""The simulated sweep: schedules worked out by hand, bounds that every schedule keeps, and the jobs of the workflow."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[3]
# Last: other modules there have the names of packages.
sys.path.append(str(ROOT / "benchmarks"))

from sweep import Machine, Task, critical_path, jobs_of, longest_chains, part_of, simulate  # noqa: E402
from sweep_seconds import COLUMNS, Seconds, parts_of  # noqa: E402

SMALL = {
    "targets": ["small", "deep"],
    "datasets": {"digits": {"source": "digits", "groups": [list("01234"), list("56789")]}, "ten": {"source": "digits"}},
    "networks": {
        "width-20": {"kind": "two_layer", "width": 20},
        "resnet8": {"kind": "deep", "architecture": "resnet8", "form": "cifar"},
    },
    "methods": {
        "greedy": {"algorithm": "greedy", "steps": 5},
        "greedy_60": {"algorithm": "layer_greedy", "flops_ratio": 0.6, "batch_size": 32, "probe_size": 64},
    },
    "experiments": {
        "small": {
            "dataset": "digits",
            "networks": ["width-20"],
            "methods": ["greedy"],
            "examples": [20, 40],
            "seeds": [0],
            "pretrain": {"iterations": 30, "checkpoints": [0, 10, 30], "batch_size": 8, "learning_rate": 0.05},
        },
        "deep": {
            "dataset": "ten",
            "networks": ["resnet8"],
            "methods": ["greedy_60"],
            "examples": [50],
            "seeds": [0],
            "pretrain": {
                "loss": "cross_entropy",
                "iterations": 40,
                "checkpoints": [10, 40],
                "batch_size": 16,
                "learning_rate": 0.05,
                "schedule": "constant",
            },
            "finetune": {"iterations": 5, "learning_rate": 0.01, "batch_size": 16},
        },
    },
}


def task(seconds: float, *needs: int, cores: int = 1, devices: int = 0, reads: float = 0.0) -> Task:
    return Task(seconds, cores, devices, needs, reads)


def makespan(tasks: list[Task], cores: int, devices: int = 0, order: str = "inputs") -> float:
    return max(end for _, end in simulate(tasks, cores, devices, order))


def test_a_diamond_by_hand() -> None:
    tasks = [task(2), task(3, 0), task(5, 0), task(1, 1, 2)]
    assert simulate(tasks, 1, 0) == [(0, 2), (2, 5), (5, 10), (10, 11)]
    assert simulate(tasks, 2, 0) == [(0, 2), (2, 5), (2, 7), (7, 8)]
    assert critical_path(tasks) == [0, 2, 3]
    assert longest_chains(tasks) == [8, 4, 6, 1]


def test_the_order_of_ready_tasks() -> None:
    """Three tasks on two cores: the long one first ends at 4, last at 6."""
    tasks = [task(2, reads=3), task(2, reads=2), task(4, reads=1)]
    assert makespan(tasks, 2) == 6
    assert makespan(tasks, 2, order="chain") == 4


def test_tasks_on_devices_leave_cores_to_others() -> None:
    tasks = [task(3, devices=1), task(3, devices=1), task(2), task(2)]
    assert simulate(tasks, 2, 1) == [(0, 3), (3, 6), (0, 2), (2, 4)]


def test_a_task_of_many_threads_waits_for_cores_while_others_pass_it() -> None:
    tasks = [task(4, reads=9), task(1, cores=2, reads=8), task(3, reads=7)]
    assert simulate(tasks, 2, 0) == [(0, 4), (4, 5), (0, 3)]


def test_what_can_never_run_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 3 cores"):
        simulate([task(1, cores=3)], 2, 0)
    with pytest.raises(ValueError, match="circle"):
        simulate([task(1, 1), task(1, 0)], 2, 0)


def test_where_it_stops_scaling() -> None:
    """Eight seconds of work that splits by task, but for a chain of two: four cores at most have something to do."""
    tasks = [task(1), task(1, 0), *[task(1) for _ in range(6)]]
    machine = Machine(tasks, 0, "chain")
    assert [machine.makespan(count) for count in (1, 2, 4, 8)] == [8, 4, 2, 2]
    assert machine.limit(lambda count, seconds: seconds <= 2) == 4
    assert machine.efficiency(8, 2) == 0.5
    assert machine.limit(lambda count, seconds: machine.efficiency(count, seconds) < 0.5) == 9


def test_a_machine_is_at_least_as_large_as_its_largest_task() -> None:
    assert Machine([task(1, cores=3)], 0, "inputs").least == 3
    machine = Machine([task(1, cores=9, devices=1), task(2, devices=2)], 4, "inputs")
    assert machine.least == 3
    assert machine.limit(lambda count, seconds: True) == 3


@st.composite
def graphs(draw: st.DrawFn, most: int = 1) -> list[Task]:
    """Tasks that wait for earlier ones; each takes up to `most` cores and devices."""
    tasks = []
    for number in range(draw(st.integers(1, 25))):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        cores, devices = draw(st.integers(1, most)), draw(st.integers(0, most - 1))
        tasks.append(Task(draw(st.integers(1, 20)), cores, devices, tuple(needs), draw(st.integers(0, 5))))
    return tasks


@settings(max_examples=200, deadline=None, derandomize=True)
@given(graphs(), st.integers(1, 6), st.sampled_from(["inputs", "chain"]))
def test_grahams_bounds(tasks: list[Task], cores: int, order: str) -> None:
    """Graham, 1969: no list schedule is longer than an ideal split of the work and the critical path together."""
    took = makespan(tasks, cores, order=order)
    work, critical = sum(each.seconds for each in tasks), sum(tasks[number].seconds for number in critical_path(tasks))
    assert took >= max(critical, work / cores)
    assert took <= work / cores + (1 - 1 / cores) * critical + 1e-9


@settings(max_examples=200, deadline=None, derandomize=True)
@given(graphs(most=3), st.integers(3, 6), st.integers(2, 4), st.sampled_from(["inputs", "chain"]))
def test_nothing_runs_before_its_inputs_or_beyond_the_machine(
    tasks: list[Task], cores: int, devices: int, order: str
) -> None:
    times = simulate(tasks, cores, devices, order)
    assert all(end - start == each.seconds for each, (start, end) in zip(tasks, times, strict=True))
    for each, (start, _) in zip(tasks, times, strict=True):
        assert all(times[need][1] <= start for need in each.needs)
        at_once = [other for other, (begin, end) in zip(tasks, times, strict=True) if begin <= start < end]
        assert sum(other.cores for other in at_once) <= cores
        assert sum(other.devices for other in at_once) <= devices


@pytest.fixture(scope="module")
def configfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "results_dir": str(folder / "results")}))
    return path


@pytest.fixture(scope="module")
def planned(configfile: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        # Snakemake keeps its records where it is called.
        patch.chdir(tmp_path_factory.mktemp("called"))
        return jobs_of(configfile, [])


def test_the_jobs_are_those_of_a_dry_run(planned, configfile: Path, tmp_path: Path) -> None:
    jobs, _ = planned
    command = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(configfile), "--cores", "1"]
    said = subprocess.run(command, cwd=tmp_path, check=True, text=True, stdout=-1, stderr=subprocess.STDOUT).stdout
    counts = {
        line.split()[0]: int(line.split()[1])
        for line in said.splitlines()
        if len(line.split()) >= 3 and line.split()[1].isdigit()
    }
    assert counts.pop("total") == len(jobs)
    assert counts == {rule: sum(job.rule == rule for job in jobs) for rule in counts}


def test_what_holds_a_whole_machine_is_in_no_schedule(tmp_path: Path) -> None:
    """Figure 4's measurements; of its drawing alone nothing is known."""
    configfile = tmp_path / "config.yaml"
    configfile.write_text(yaml.safe_dump(SMALL | {"targets": ["pruning_times"]}))
    command = [sys.executable, str(ROOT / "benchmarks/sweep.py"), "--configfile", str(configfile)]
    said = subprocess.run(command, cwd=tmp_path, check=True, text=True, stdout=subprocess.PIPE).stdout
    assert "measure_pruning" not in said
    assert "nothing of it was measured" in said


def test_what_asks_for_an_accelerator_is_what_the_rules_say(planned) -> None:
    jobs, _ = planned
    asking = {(job.rule, job.wildcards["experiment"]) for job in jobs if job.accelerators}
    deep = {("pretrain", "deep"), ("calibrate", "deep"), ("prune", "deep"), ("finetune", "deep"), ("evaluate", "deep")}
    assert asking == {("pretrain", "small"), ("prune", "small")} | deep


def test_what_jobs_are_made_of(planned) -> None:
    jobs, costs = planned
    (second,) = [
        job
        for job in jobs
        if job.rule == "pretrain" and (job.wildcards["examples"], job.wildcards["iteration"]) == ("40", "30")
    ]
    assert parts_of(second, jobs, costs) == {
        ("pretrain", "two_layer", "process"): 1,
        ("pretrain", "width-20", "job"): 1,
        ("pretrain", "width-20", "iteration of 8"): 20,
        ("pretrain", "width-20", "image"): 40 + 359,
    }
    (calibrate,) = [job for job in jobs if job.rule == "calibrate"]
    parts = parts_of(calibrate, jobs, costs)
    assert parts["prune", "resnet8 greedy_60", "image of the mini-batch"] == 3 * 32
    assert parts["prune", "resnet8 greedy_60", "image of the probe"] == 3 * 50


def test_an_experiment_by_itself_has_its_data_set(planned) -> None:
    jobs, _ = planned
    part, seconds = part_of("deep", jobs, [float(number) for number in range(len(jobs))])
    assert {job.rule for job in part} >= {"prepare", "subset", "pretrain", "report"}
    assert all(job.provenance.startswith(("deep/", "data/ten/")) for job in part)
    assert [jobs[int(number)].provenance for number in seconds] == [job.provenance for job in part]
    assert all(need < len(part) for job in part for need in job.needs)


def test_recorded_seconds_win_over_the_table(planned, tmp_path: Path) -> None:
    """A table that says 2 s for each job of a kind, and one of two sub-datasets that recorded 3 s."""
    jobs, costs = planned
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for part in {part for job in jobs for part in parts_of(job, jobs, costs)} - {("plan", "", "job")}:
            writer.writerow(dict(zip(COLUMNS, ("cpu", *part, 2.0), strict=False)))
    subsets = [job for job in jobs if job.rule == "subset" and job.wildcards["experiment"] == "small"]
    sidecar = tmp_path / "results" / subsets[0].provenance
    sidecar.parent.mkdir(parents=True)
    record = {"stage": "subset", "device": "cpu", "seconds": 3.0, "settings": subsets[0].settings}
    sidecar.write_text(json.dumps(record))
    known = Seconds(jobs, costs, "cpu", tmp_path / "table.csv", [tmp_path / "results"])
    assert [known.of(job) for job in subsets] == [3.0, 3.0]
    assert known.of(next(job for job in jobs if job.rule == "collect")) == 2.0
    assert known.of(next(job for job in jobs if job.rule == "plan")) is None
    # Of other settings: not the same job.
    sidecar.write_text(json.dumps({**record, "settings": {**subsets[0].settings, "shares": "data"}}))
    known = Seconds(jobs, costs, "cpu", tmp_path / "table.csv", [tmp_path / "results"])
    assert [known.of(job) for job in subsets] == [2.0, 2.0]


def test_every_kind_of_job_with_a_network_is_timed(configfile: Path, tmp_path: Path) -> None:
    """Both kinds of networks, from the scripts as they are; then the whole table is printed."""
    command = [sys.executable, str(ROOT / "benchmarks/sweep.py"), "--configfile", str(configfile)]
    command += ["--measure", "--seconds", str(tmp_path / "seconds.csv")]
    said = subprocess.run(command, cwd=tmp_path, check=True, text=True, stdout=-1, stderr=subprocess.STDOUT).stdout
    with (tmp_path / "seconds.csv").open() as file:
        rows = list(csv.DictReader(file))
    timed = {row["rule"] for row in rows}
    assert timed == {"python", "subset", "pretrain", "prune", "evaluate", "terms", "finetune"}
    assert all(float(row["seconds"]) >= 0 and float(row["scaled"]) >= 1 for row in rows)
    (iterations,) = [row for row in rows if row["part"] == "iteration of 8"]
    assert float(iterations["largest"]) == 20
    missing = next(line for line in said.splitlines() if line.startswith("not measured"))
    assert not timed & {word.split(" (")[0] for word in missing.split(": ")[1].split(", ")}
    assert said.count("critical path: ") == 3
