"""The workflow on a real Slurm: the same results, and what is lost when jobs, nodes and inputs fail."""

import contextlib
import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import ROOT, Project
from slurm import Slurm, output_of, wait_until, why_not_here

from goodsubnet.runtime.artifacts import read_provenance

REASON = why_not_here()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

HERE = Path(__file__).parent
# The cluster keeps no accounts, and jobs are of seconds here.
SLURM = ["--workflow-profile", str(ROOT / "profiles/slurm"), "--slurm-status-command", "squeue"]
SLURM += ["--slurm-init-seconds-before-status-checks", "3"]
NETWORK = "width-20/examples-40/seed-0"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with Slurm(tmp_path_factory.mktemp("slurm"), {"node1": 2, "node2": 0}) as cluster:
        yield cluster


def project_in(folder: Path) -> Project:
    """Its jobs are processes of Slurm, which counts their memory and kills them."""
    project = Project(folder)
    project.warm = False
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_in(tmp_path)


def on_this_machine(project: Project, *targets: str) -> None:
    project.warm = True
    project.snakemake(*targets)


def jobs_of(cluster: Slurm, project: Project, rule: str) -> list[dict[str, str]]:
    """What Slurm knows of the jobs of a rule, in order."""
    jobs = [job for job in cluster.jobs() if job["WorkDir"] == str(project.folder)]
    return [job for job in jobs if re.fullmatch(rf"rule_{rule}(_wildcards_.*)?", job["Comment"])]


def artifacts(project: Project) -> dict[str, object]:
    """All tables, numbers and tensors that were made; but for how long a job took, which the table of all tells."""
    made = {name: content for name, content in project.contents("results/**/*.[cjs]*").items() if "prov" not in name}
    table = csv.DictReader(made.pop("results/small/evaluations.csv").decode().splitlines())
    return {**made, "evaluations": [{**row, "seconds": None} for row in table]}


def test_the_chain_gives_what_it_gives_on_one_machine(cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> None:
    """24 jobs of Slurm, and nearly as many small ones where Snakemake runs."""
    alone, together = (project_in(tmp_path_factory.mktemp(name)) for name in ("alone", "together"))
    for project in (alone, together):
        project.experiment["methods"] = ["greedy", "random"]
        project.experiment["pretrain"]["checkpoints"] = [0, 20]
    on_this_machine(alone)
    together.snakemake(*SLURM)
    assert artifacts(together) == artifacts(alone)
    ran = {rule: jobs_of(cluster, together, rule) for rule in ("pretrain", "prune", "evaluate", "terms")}
    assert {rule: len(jobs) for rule, jobs in ran.items()} == {"pretrain": 4, "prune": 8, "evaluate": 8, "terms": 4}
    assert sum(job["WorkDir"] == str(together.folder) for job in cluster.jobs()) == 24
    # What workflow/stages/ says.
    assert {job["MinMemoryNode"] for job in ran["pretrain"]} == {"601M"}
    assert {job["TimeLimit"] for job in ran["evaluate"]} == {"00:11:00"}
    assert together.plan() == {}


def test_more_jobs_of_an_array_than_may_be_submitted_at_once(cluster: Slurm, project: Project) -> None:
    sizes = [4, 5, 6, 7, 8]
    project.settings["random_matrices"] = {"condition_numbers": {"examples": sizes, "widths": [4, 8], "draws": 1}}
    wanted = [f"results/random_matrices/condition_numbers/examples-{size}.json" for size in sizes]
    project.snakemake(*SLURM, "--jobs", "2", "--", *wanted)
    jobs = jobs_of(cluster, project, "condition_numbers")
    assert len(jobs) == len(sizes)
    assert any("ArrayJobId" in job for job in jobs)


@contextlib.contextmanager
def running(project: Project, *arguments: str) -> Iterator[subprocess.Popen]:
    """Snakemake in the background."""
    log = project.folder / "snakemake.out"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            project.command(*SLURM, *arguments), cwd=project.folder, stdout=output, stderr=output, process_group=0
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait()


def test_a_segment_that_is_stopped_goes_on_where_it_was(
    cluster: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Preempted, on a node that dies, and cancelled: each time what was saved last is where it begins."""
    straight, project = (project_in(tmp_path_factory.mktemp(name)) for name in ("straight", "stopped"))
    for each in (straight, project):
        each.experiment["examples"] = [40]
        each.experiment["pretrain"].update(iterations=400_000, checkpoints=[400_000])
        each.settings["save_every"] = {"iterations": 5000, "seconds": 1000.0}
    on_this_machine(straight, "pretrain_all")
    log = project.folder / f"results/logs/small/pretrain/{NETWORK}/iteration-400000.log"
    beginnings: list[int] = []

    def progress() -> list[bytes]:
        return [path.read_bytes() for path in project.folder.glob(f"results/small/pretrain/{NETWORK}/.progress/*")]

    def beginning() -> int:
        found = re.search(r"training from iteration ([\d,]+)", log.read_text()) if log.exists() else None
        return int(found[1].replace(",", "")) if found else -1

    def begun() -> str:
        """The job's number, once the segment has begun beyond where it began before, and saved something since."""
        wait_until(lambda: beginning() > max(beginnings, default=-1), f"it begins beyond {beginnings}", 90)
        beginnings.append(beginning())
        kept = progress()
        wait_until(lambda: progress() not in ([], kept), "something is saved", 90)
        return jobs_of(cluster, project, "pretrain")[-1]["JobId"]

    with running(project, "pretrain_all") as snakemake:
        first = begun()
        urgent = output_of("sbatch", "--parsable", "-p", "urgent", "-N2", "--exclusive", "-o/dev/null", "--wrap=true")
        assert begun() == first
        assert "COMPLETED" in output_of("scontrol", "show", "job", urgent.strip())
        node = jobs_of(cluster, project, "pretrain")[-1]["NodeList"]
        cluster.kill_node(node)
        assert begun() == first
        cluster.start_node(node)
        assert jobs_of(cluster, project, "pretrain")[-1]["Restarts"] == "2"
        output_of("scancel", first)
        assert begun() != first
        assert snakemake.wait(120) == 0, (project.folder / "snakemake.out").read_text()
    pattern = "results/small/pretrain/**/*.safetensors"
    assert project.contents(pattern) == straight.contents(pattern)


def test_a_job_without_memory_is_tried_again_with_more(cluster: Slurm, project: Project) -> None:
    project.experiment.update(examples=[40])
    project.experiment["pretrain"].update(iterations=10, checkpoints=[10])
    project.snakemake(*SLURM, "--set-resources", "pretrain:mem_mb=100 * attempt ** 3", "--", "pretrain_all")
    assert [job["MinMemoryNode"] for job in jobs_of(cluster, project, "pretrain")] == ["100M", "800M"]


def test_two_jobs_never_hold_the_same_device(cluster: Slurm, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(HERE / "devices.smk"), "--cores", "2", *SLURM]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    held = [json.loads(path.read_text()) for path in tmp_path.glob("held-*.json")]
    assert len(held) == 5
    assert {one["name"] for one in held} == {"0", "1"}
    assert all(one["lent"] == one["name"] for one in held)
    for one, other in itertools.combinations(held, 2):
        apart = one["ended"] <= other["began"] or other["ended"] <= one["began"]
        assert apart or one["name"] != other["name"]


def test_workers_on_two_nodes_choose_what_one_worker_chooses(
    cluster: Slurm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone, together = (project_in(tmp_path_factory.mktemp(name)) for name in ("alone", "two-nodes"))
    for project in (alone, together):
        project.experiment.update(methods=["greedy"], examples=[40])
        project.experiment["pretrain"].update(iterations=10, checkpoints=[10])
    on_this_machine(alone, "prune_all")
    together.settings["methods"]["greedy"] |= {"workers": 4, "nodes": 2}
    together.snakemake(*SLURM, "--cores", "4", "--", "prune_all")
    pattern = "results/small/prune/**/*.safetensors"
    assert together.contents(pattern) == alone.contents(pattern)
    (job,) = jobs_of(cluster, together, "prune")
    assert (job["NumNodes"], job["NumTasks"], job["CPUs/Task"]) == ("2", "2", "2")
    workers = read_provenance(together.path(pattern))["workers"]
    assert workers["number"] == 4


def failing(project: Project, *arguments: str) -> str:
    """What the terminal says of a run with one job that fails."""
    project.experiment["examples"] = [40]
    project.experiment["pretrain"].update(iterations=10, checkpoints=[10])
    target = f"results/small/pretrain/{NETWORK}/iteration-10.safetensors"
    result = project.snakemake(*SLURM, "--retries", "0", *arguments, "--", target, check=False)
    assert result.returncode != 0
    return result.stdout


def test_the_log_of_a_failed_job_is_shown(cluster: Slurm, project: Project) -> None:
    project.experiment["pretrain"]["learning_rate"] = 1e30
    said = failing(project)
    assert re.search(r"^ +error: .*diverged", said, re.MULTILINE), said


def test_jobs_ask_for_a_device_where_the_configuration_says_so(cluster: Slurm, project: Project) -> None:
    """This machine has none, so the job fails, after Slurm has lent it one."""
    project.settings["device"] = "cuda"
    said = failing(project)
    assert "there is a GPU (0), but this PyTorch" in said
    (job,) = jobs_of(cluster, project, "pretrain")
    assert "gres:gpu:1" in job["TresPerJob"]


def test_a_partition_that_does_not_exist(cluster: Slurm, project: Project) -> None:
    said = failing(project, "--default-resources", "slurm_partition=nowhere", "slurm_account=")
    assert "invalid partition specified: nowhere" in said


def test_devices_where_there_are_none(cluster: Slurm, project: Project) -> None:
    project.settings["device"] = "cuda"
    said = failing(project, "--default-resources", "slurm_partition=node2", "slurm_account=")
    assert "Requested node configuration is not available" in said


def test_an_account_that_does_not_exist(
    cluster: Slurm, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a database there are no accounts, so one that names them is put in its place."""
    accounts = tmp_path / "bin/sacctmgr"
    accounts.parent.mkdir()
    accounts.write_text("#!/bin/sh\necho physics\n")
    accounts.chmod(0o755)
    monkeypatch.setenv("PATH", f"{accounts.parent}{os.pathsep}{os.environ['PATH']}")
    said = failing(project, "--default-resources", "slurm_account=nobodys", "slurm_partition=")
    assert "The given account nobodys appears to be invalid" in said
    assert "physics" in said
