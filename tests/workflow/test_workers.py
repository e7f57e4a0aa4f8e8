"""Algorithm 2 as jobs: the same artifacts, and what happens where a worker dies, hangs or fails."""

import contextlib
import csv
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deep_jobs import Jobs
from free_jobs import read_json
from project import ROOT, Project

from goodsubnet.errors import UserError
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.workers.launch import _free_port
from goodsubnet.stages import worker

SETTINGS = {
    "pretrain": {
        **{"experiment": "any", "network": "any", "loss": "logistic", "inputs": "unit_range"},
        **{"architecture": {"kind": "two_layer", "width": 300, "activation": "relu", "initialisation": "scaled"}},
        **{"batch_size": 16, "learning_rate": 0.05, "lr_scaling": "per_neuron", "threads": 1, "deterministic": True},
    },
    "prune": {
        **{"kind": "two_layer", "loss": "logistic", "inputs": "unit_range", "activation": "relu", "threads": 1},
        "method": {"algorithm": "greedy", "steps": 30, "distinct": None, "max_steps": 100},
    },
}
ENDLESS = {"steps": 1_000_000}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared digits, a sub-dataset and a checkpoint of a two-layer and of a deep network."""
    folder = tmp_path_factory.mktemp("digits")
    two_layer = Jobs(folder, prepare={"dataset": {"source": "digits", "groups": [list("01234"), list("56789")]}})
    two_layer.prepare()
    two_layer.subset(200)
    two_layer.settings["pretrain"] = SETTINGS["pretrain"]
    two_layer.pretrain("two-layer", 40)
    classes = Jobs(folder / "classes")
    classes.prepare()
    classes.subset(100)
    classes.pretrain("deep", 20)
    return folder


class Selection:
    """The script prune.py (or calibrate.py) as a process of its own, with several workers."""

    def __init__(self, digits: Path, folder: Path, deep: bool = False) -> None:
        self.base = digits / "classes" if deep else digits
        self.checkpoint = self.base / ("deep" if deep else "two-layer") / "x.safetensors"
        self.folder, self.script, self.seed = folder, "prune", 0
        self.settings = json.loads(json.dumps(Jobs(folder).settings["prune"] if deep else SETTINGS["prune"]))
        self.environment: dict[str, str] = {}

    def start(self, *arguments: str, name: str = "x") -> subprocess.Popen:
        self.output = self.folder / name / ("x.json" if self.script == "calibrate" else "x.safetensors")
        command = [sys.executable, str(ROOT / f"scripts/{self.script}.py"), "--device", "cpu", *arguments]
        command += ["--data", str(self.base / "images.safetensors"), "--subset", str(self.base / "subset.safetensors")]
        command += ["--checkpoint", str(self.checkpoint), "--seed", "0", "--settings", json.dumps(self.settings)]
        return subprocess.Popen(
            [*command, "--output", str(self.output)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "NUMBA_NUM_THREADS": "1"} | self.environment,
        )

    def make(self, *arguments: str, name: str = "x") -> Path:
        process = self.start(*arguments, name=name)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return self.output

    def workers(self) -> dict[int, int]:
        """rank -> process id, of those that run."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
                # The agent's command has the worker's in it.
                if b"goodsubnet.stages.worker" in command and str(self.folder).encode() in command:
                    variables = (entry / "environ").read_bytes().split(b"\0")
                    found |= {int(each[5:]): int(entry.name) for each in variables if each.startswith(b"RANK=")}
        return found

    def left(self) -> list[str]:
        """Files that are no lock."""
        return sorted(path.name for path in self.output.parent.rglob("*") if path.is_file() and path.suffix != ".lock")


def until(condition: Callable[[], object], seconds: float = 120) -> object:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "this never happened"
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def selecting(selection: Selection, *arguments: str) -> Iterator[subprocess.Popen]:
    """Two workers in the middle of an endless selection."""
    selection.settings["method"] |= ENDLESS
    process = selection.start("--workers", "2", *arguments)
    try:
        # The first steps are done once both have a connection, and the store is there.
        until(lambda: len(selection.workers()) == 2 and list(selection.folder.rglob("store")))
        until(lambda: listening(selection.workers().values()))
        time.sleep(1)
        yield process
    finally:
        process.kill()
        process.wait()
        until(lambda: not selection.workers())


def listening(processes: object) -> list[str]:
    """The addresses at which processes listen."""
    sockets = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                sockets.add(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.append(fields[1].partition(":")[0])
    return found


def test_two_and_three_workers_make_the_artifact_of_one(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path)
    alone = selection.make(name="one")
    for arguments in (["--workers", "2"], ["--workers", "3", "--graph", "ring"]):
        together = selection.make(*arguments, name=arguments[1])
        assert together.read_bytes() == alone.read_bytes()
        assert selection.left() == ["x.provenance.json", "x.safetensors"]
        provenance = artifacts.read_provenance(together)
        # The workers load what the job does not, and it is recorded all the same.
        assert artifacts.read_provenance(alone)["sources"].items() <= provenance["sources"].items()
        facts = provenance["workers"]
        assert (facts["number"], facts["graph"]) == (int(arguments[1]), arguments[-1] if len(arguments) > 2 else "all")
        assert facts["seconds_communicating"] <= min(facts["seconds_communicating_or_waiting"]) + 1e-3
    assert "workers" not in artifacts.read_provenance(alone)


def test_two_workers_prune_a_deep_network_as_one(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path, deep=True)
    # Between the layers they train, each all of it.
    selection.settings["method"] |= {"finetune_iterations": 2}
    alone = selection.make(name="one")
    together = selection.make("--workers", "2", "--graph", "tree", name="two")
    first, second = (artifacts.map_tensors(path) for path in (alone, together))
    assert first.keys() == second.keys()
    assert together.read_bytes() == alone.read_bytes()


def test_two_workers_calibrate_as_one(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path, deep=True)
    selection.script = "calibrate"
    selection.settings = Jobs(tmp_path).settings["calibrate"]
    found = [read_json(selection.make("--workers", count, name=count)) for count in ("1", "2")]
    assert found[0] == found[1]


def test_a_killed_worker_ends_the_job_with_its_name(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path)
    with selecting(selection) as process:
        os.kill(selection.workers()[1], signal.SIGKILL)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"error: worker 1 of 2 on {socket.gethostname()} was killed by SIGKILL" in said.splitlines()[-1]
        assert selection.left() == []
        assert not selection.workers()


def test_a_worker_that_hangs_ends_the_job_with_its_name(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path)
    selection.environment = {"GOODSUBNET_PATIENCE": "3"}
    with selecting(selection) as process:
        os.kill(selection.workers()[0], signal.SIGSTOP)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "error: worker 1 of 2" in said.splitlines()[-1]
        assert "worker 0 of 2 hangs: it has not answered for 3 s" in said.splitlines()[-1]
        assert selection.left() == []
        assert not selection.workers()


def test_the_workers_talk_over_the_loopback_interface_and_end_with_the_job(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path)
    with selecting(selection) as process:
        workers = selection.workers().values()
        agent = {int(Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[1]) for each in workers}
        # 127.0.0.1, as the kernel writes it on a little-endian machine.
        assert set(listening([*workers, *agent])) == {"0100007F"}
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert selection.left() == []
        assert not selection.workers()


def test_no_worker_outlives_a_job_that_was_killed(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path)
    with selecting(selection) as process:
        process.kill()
        until(lambda: not selection.workers(), 20)
    # What it left does not disturb the next one.
    selection.settings["method"]["steps"] = 3
    selection.make("--workers", "2")
    assert selection.left() == ["x.provenance.json", "x.safetensors"]


def test_what_one_worker_finds_wrong_is_said_with_its_name(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path)
    selection.settings["method"] |= {"steps": None, "distinct": 301}
    process = selection.start("--workers", "2")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "of 2 on" in said.splitlines()[-1]
    assert "distinct=301, but there are only 300 neurons" in said.splitlines()[-1]
    assert selection.left() == []


def test_a_worker_without_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_arguments: object) -> None:
        raise MemoryError("Unable to allocate 3.73 GiB")

    (tmp_path / "task.json").write_text("{}")
    monkeypatch.setattr(worker, "work", work)
    monkeypatch.setattr(worker, "end_with_parent", lambda: None)
    monkeypatch.setattr(sys, "argv", ["worker", str(tmp_path)])
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        worker.main()
    signal.signal(signal.SIGINT, before)
    assert artifacts.encode_json(json.loads((tmp_path / "error-0.json").read_text()))
    assert "out of memory (Unable to allocate 3.73 GiB)" in (tmp_path / "error-0.json").read_text()


# As srun with two nodes: the command twice, each told by Slurm who it is.
SRUN = """#!/bin/bash
for task in 0 1; do while [[ $1 == --* ]]; do shift; done; SLURM_PROCID=$task "$@" & done
wait -n || { kill %1 %2 2> /dev/null; exit 1; }
wait -n
"""


def test_over_two_nodes_of_an_allocation(digits: Path, tmp_path: Path) -> None:
    """Two torchruns meet at a port; here both are on this machine."""
    selection = Selection(digits, tmp_path)
    alone = selection.make(name="one")
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    selection.environment = {"SLURM_JOB_ID": "77", "PATH": path}
    together = selection.make("--workers", "4", "--nodes", "2", name="four")
    assert together.read_bytes() == alone.read_bytes()
    assert artifacts.read_provenance(together)["workers"]["number"] == 4


def test_nodes_without_an_allocation_are_refused(digits: Path, tmp_path: Path) -> None:
    selection = Selection(digits, tmp_path)
    process = selection.start("--workers", "2", "--nodes", "2")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: nodes: 2 asked, but this is not a Slurm allocation" in said


def test_a_port_in_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        monkeypatch.setenv("GOODSUBNET_PORT", str(taken.getsockname()[1]))
        with pytest.raises(UserError, match=r"GOODSUBNET_PORT: port [0-9]+ is of no use"):
            _free_port()


def test_other_workers_run_nothing_again_and_the_command_tells_of_them(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.settings["methods"]["greedy"] |= {"workers": 1}
    project.experiment["methods"] = ["greedy"]
    project.experiment["examples"] = [20]
    project.snakemake("prune_all")
    project.settings["methods"]["greedy"] |= {"workers": 2, "graph": "ring"}
    assert project.plan("prune_all") == {}
    (tmp_path / "results").rename(tmp_path / "old")
    planned = project.snakemake("prune_all", "-n", "-p", "--quiet", "host").stdout
    assert planned.count("--workers 2 --nodes 1 --graph ring") == 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"workers": 21}, "method greedy has 21 workers, and network width-20 only 20 neurons"),
        ({"workers": 3, "nodes": 2}, "workers: 3 cannot be spread evenly over 2 nodes"),
        ({"workers": 2, "nodes": 2}, "methods.greedy.nodes: 2 are asked for, and this run stays on one machine"),
        ({"workers": 0}, "greater than or equal to 1, got 0"),
        ({"graph": "star"}, "got 'star'"),
    ],
)
def test_workers_that_cannot_be(tmp_path: Path, changed: dict, words: str) -> None:
    project = Project(tmp_path)
    project.settings["methods"]["greedy"] |= changed
    project.experiment["methods"] = ["greedy"]
    assert words in project.snakemake("-n", check=False).stdout


def test_figure_4_end_to_end(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.settings["targets"] = ["pruning_times"]
    project.settings["pruning_times"] = {
        **{"workers": [1, 2], "repetitions": 2},
        "layers": {
            **{"architecture": "resnet8", "blocks": ["layer1.0", "layer3.0"], "size": 8, "steps": 2},
            **{"candidates": 6, "batch_size": 4, "probe_size": 8},
        },
        "two_layer": {"width": 50, "examples": 40, "inputs": 5, "steps": 4},
    }
    project.snakemake()
    folder = tmp_path / "results/pruning_times"
    with open(folder / "times.csv") as file:
        rows = list(csv.DictReader(file))
    layers = ["layer1.0.conv1", "layer3.0.conv1", "two-layer network"]
    cells = [(row["what"], row["workers"], row["repetition"]) for row in rows]
    assert sorted(cells) == sorted(itertools.product(layers, "12", "12"))
    for row in rows:
        spent = float(row["seconds"]) - float(row["communication"]) - float(row["waiting"])
        assert spent > 0, row
        # 4 steps: 2 pairs of 24 bytes and a column of 40 numbers each, after 2 counts of the neurons.
        if row["what"] == "two-layer network":
            assert int(row["bytes"]) == (0 if row["workers"] == "1" else 2 * 8 + 4 * (2 * 24 + 40 * 4))
    assert (folder / "figures/figure4.png").stat().st_size > 10_000
    assert "Figure 4" in (folder / "report.html").read_text()
    project.settings["figures"] = {"dpi": 80}
    judged = {"claims": 1, "verdict": 1}
    assert project.plan() == {"draw_figure4": 1, "verdict": 1}
    project.settings["pruning_times"]["repetitions"] = 3
    assert project.plan() == {"measure_pruning": 2, "pruning_times_table": 1, "draw_figure4": 1, **judged}
    project.settings["pruning_times"]["layers"]["blocks"] = ["layer7"]
    failed = project.snakemake("results/pruning_times/layers.json", check=False)
    assert failed.returncode != 0
    assert "layer7 has no layer that can be pruned; there are layer1.0.conv1" in failed.stdout
