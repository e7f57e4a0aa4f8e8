"""Nothing is lost: jobs and Snakemake are killed at many moments, and the end is a straight run's, bit for bit."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from project import Project

CELL = "results/small/pretrain/width-20/examples-40/seed-0"


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A run without faults, up to the first checkpoint after initialisation."""
    project = slow(Project(tmp_path_factory.mktemp("straight")))
    project.snakemake("pretrain_all")
    return project


def slow(project: Project) -> Project:
    """Segments of a few seconds, saved often."""
    # Signals must reach the processes that a user has.
    project.warm = False
    project.experiment["examples"] = [40]
    project.experiment["pretrain"].update({"iterations": 4000, "checkpoints": [0, 4000]})
    project.settings["save_every"] = {"iterations": 50, "seconds": 1000.0}
    return project


def checkpoints(project: Project) -> dict[str, bytes]:
    return project.contents("results/small/pretrain/**/*.safetensors")


def arguments(project: Project, output: Path) -> list[str]:
    """The command line of a segment, as Snakemake gives it, but shorter and with another output."""
    recorded = json.loads((project.folder / CELL / "iteration-4000.provenance.json").read_text())
    given = []
    for name, source in recorded["inputs"].items():
        given += [f"--{name}", str(project.folder / source["path"])]
    given += ["--seed", "0", "--iteration", "300", "--settings", json.dumps(recorded["settings"])]
    return [*given, "--save-iterations", "100", "--output", str(output), "--device", "cpu"]


def _die_at(call: int, argv: list[str]) -> None:
    """Run the script in this process, which kills itself at the call-th of all calls that change the disk."""
    import pretrain
    import torch

    torch.set_num_threads(1)
    count = 0

    def deadly(function):
        def counted(*given, **named):
            nonlocal count
            count += 1
            if count == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **named)

        return counted

    for name in ("open", "fsync", "replace", "unlink", "write"):
        setattr(os, name, deadly(getattr(os, name)))
    pretrain.main(argv)


def test_a_job_killed_at_each_write_ends_as_the_straight_run(straight: Project, tmp_path: Path) -> None:
    """Fail the n-th call, n = 1, 2 ..., in a new folder each time, until a run completes; then go on and compare."""
    # A fork costs less than a process that imports torch; torch must not have started threads before.
    context = multiprocessing.get_context("fork")
    import torch

    torch.set_num_threads(1)

    def ended(call: int, output: Path) -> int:
        process = context.Process(target=_die_at, args=(call, arguments(straight, output)))
        process.start()
        process.join(120)
        return process.exitcode

    def files(output: Path) -> dict[str, bytes]:
        """What a job left; the sidecar holds times, so of it the name alone."""
        return {path.name: b"" if "provenance" in path.name else path.read_bytes() for path in output.parent.iterdir()}

    whole = tmp_path / "whole" / "iteration-300.safetensors"
    assert ended(-1, whole) == 0
    assert len(files(whole)) == 3
    killed = 0
    for call in itertools.count(1):
        output = tmp_path / str(call) / whole.name
        if ended(call, output) == 0:
            break
        killed += 1
        # With its sidecar an artifact is complete; Snakemake makes one without again.
        if (output.with_name("iteration-300.provenance.json")).exists():
            assert output.read_bytes() == whole.read_bytes()
        assert ended(-1, output) == 0
        assert files(output) == files(whole)
    assert killed >= 15


def started(project: Project) -> subprocess.Popen:
    """Snakemake in a process group of its own, with the second segment under way and some progress saved."""
    process = subprocess.Popen(
        project.command("pretrain_all"),
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    # A hidden name is a save that is still being written.
    while not list(project.folder.glob(f"{CELL}/.progress/[!.]*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def log_of(project: Project) -> str:
    return (project.folder / "results/logs" / CELL.removeprefix("results/") / "iteration-4000.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_loses_nothing(straight: Project, tmp_path: Path, number: int) -> None:
    project = slow(Project(tmp_path))
    process = started(project)
    os.killpg(process.pid, number)
    assert process.wait(60) != 0
    assert len(list(project.folder.glob(f"{CELL}/.progress/*"))) == 1
    assert not (project.folder / CELL / "iteration-4000.safetensors").exists()
    project.snakemake("pretrain_all")
    assert "training from iteration 0 " not in log_of(project)
    assert checkpoints(project) == checkpoints(straight)


def test_snakemake_killed_and_its_job_left_alive(straight: Project, tmp_path: Path) -> None:
    """The documented way on: `snakemake --unlock`, then the same command. The survivor is waited for."""
    project = slow(Project(tmp_path))
    process = started(project)
    process.kill()
    process.wait()
    refused = project.snakemake("pretrain_all", check=False)
    assert refused.returncode != 0
    assert "--unlock" in refused.stdout
    project.snakemake("--unlock")
    project.snakemake("pretrain_all")
    assert checkpoints(project) == checkpoints(straight)
    assert not list(project.folder.glob(f"{CELL}/.*"))


def test_everything_killed_at_once(straight: Project, tmp_path: Path) -> None:
    project = slow(Project(tmp_path))
    process = started(project)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    project.snakemake("--unlock")
    project.snakemake("pretrain_all")
    assert "training from iteration 0 " not in log_of(project)
    assert checkpoints(project) == checkpoints(straight)


def test_two_runs_at_once_do_not_corrupt_each_other(straight: Project, tmp_path: Path) -> None:
    project = slow(Project(tmp_path))
    first = started(project)
    second = project.snakemake("pretrain_all", "--nolock", check=False)
    first.wait(120)
    project.snakemake("pretrain_all")
    assert checkpoints(project) == checkpoints(straight), second.stdout


@pytest.mark.parametrize(
    "pattern",
    [
        "results/data/digits/images.safetensors",
        f"{CELL}/iteration-0.safetensors",
        "results/small/subset/*/*.safetensors",
    ],
)
def test_a_damaged_artifact_is_refused_with_its_name(straight: Project, tmp_path: Path, pattern: str) -> None:
    shutil.copytree(straight.folder, tmp_path / "run")
    project = slow(Project(tmp_path / "run"))
    path = project.path(pattern)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = project.snakemake("prune_all", check=False)
    assert result.returncode != 0
    assert f"{path.name} is damaged: its content is not what was written" in result.stdout
    assert not list(project.folder.glob("results/small/prune/**/iteration-0.*"))
