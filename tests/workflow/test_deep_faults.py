"""A training of a deep network that is stopped and goes on ends as the straight one, bit for bit."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from deep_jobs import ARCHITECTURE, Jobs, left, tensors

from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.networks.deep import initial_network
from goodsubnet.runtime import progress, signals
from goodsubnet.runtime.jobs import Job
from goodsubnet.training import replicas

# Its classifier has dropout.
MOBILENET = {"architecture": {**ARCHITECTURE, "architecture": "mobilenet_v2"}, "batch_size": 8}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    torch.set_num_threads(1)
    chain = Jobs(tmp_path_factory.mktemp("faults"), subset={"shares": "data"})
    chain.prepare()
    chain.subset(61)
    return chain


@pytest.fixture
def chain(prepared: Jobs, tmp_path: Path) -> Jobs:
    """One on the same data and sub-dataset, in a folder of its own."""
    chain = Jobs(tmp_path)
    chain.data, chain.indices = prepared.data, prepared.indices
    return chain


class Disturbance:
    """Something that happens after an iteration of the next training."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def at(self, iteration: int, happens: object) -> None:
        before = progress.Progress.__call__

        def report(line: progress.Progress, now: int) -> None:
            before(line, now)
            if now == iteration:
                self.patch.undo()
                happens()

        self.patch.setattr(progress.Progress, "__call__", report)


@pytest.fixture
def disturbance() -> Iterator[Disturbance]:
    """With the signal handlers of a script."""
    with pytest.MonkeyPatch.context() as patch:
        handler = signal.signal(signal.SIGTERM, signals.stop)
        yield Disturbance(patch)
        signal.signal(signal.SIGTERM, handler)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def crash() -> None:
    raise OSError("the power is gone")


@pytest.mark.parametrize("changed", [{}, MOBILENET, {"precision": "bfloat16", "schedule": "cosine"}])
def test_a_segment_stopped_twice(chain: Jobs, disturbance: Disturbance, capsys, changed: dict) -> None:
    chain.settings["pretrain"] |= {**changed, "schedule_iterations": 9}
    half = chain.pretrain("half", 4)
    straight = chain.pretrain("straight", 9, half)
    # Two segments are one as well.
    assert chain.pretrain("one segment", 9).read_bytes() == straight.read_bytes()
    # A signal: what was done is saved, whether it was due or not.
    disturbance.at(5, terminate)
    with pytest.raises(SystemExit) as ended:
        chain.pretrain("stopped", 9, half)
    assert ended.value.code == 128 + signal.SIGTERM
    (kept,) = [path for path in (chain.folder / "stopped").rglob("*") if path.is_file()]
    assert kept.parent.name == ".progress"
    # A crash after a save that was due.
    disturbance.at(8, crash)
    with pytest.raises(OSError, match="power"):
        chain.pretrain("stopped", 9, half, save=7)
    resumed = chain.pretrain("stopped", 9, half)
    assert re.findall(r"from iteration (\d)", capsys.readouterr().out)[-3:] == ["4", "5", "7"]
    assert resumed.read_bytes() == straight.read_bytes()
    assert any(name.startswith("momentum.") for name in tensors(resumed))
    assert left(resumed.parent) == {"x.safetensors", "x.dense.json", "x.provenance.json"}


def test_another_rate_does_not_go_on_with_what_was_saved(chain: Jobs, disturbance: Disturbance, capsys) -> None:
    disturbance.at(3, terminate)
    with pytest.raises(SystemExit):
        chain.pretrain("other", 5)
    chain.settings["pretrain"]["learning_rate"] = 0.01
    chain.pretrain("other", 5)
    assert re.findall(r"from iteration (\d)", capsys.readouterr().out) == ["0", "0"]


def test_fine_tuning_that_was_stopped(chain: Jobs, disturbance: Disturbance, capsys) -> None:
    chain.settings["pretrain"] |= MOBILENET
    chain.settings["finetune"] |= {"schedule": "cosine", "batch_size": 8}
    # Any network will do, one that was not pruned, too.
    subnetwork = chain.pretrain("dense", 2)
    straight = chain.finetune("straight", subnetwork)
    disturbance.at(6, terminate)
    with pytest.raises(SystemExit):
        chain.finetune("stopped", subnetwork)
    assert re.findall(r"fine-tuning from iteration (\d)", capsys.readouterr().out) == ["0", "0"]
    assert chain.finetune("stopped", subnetwork).read_bytes() == straight.read_bytes()
    assert "fine-tuning from iteration 6" in capsys.readouterr().out
    assert straight.read_bytes() != subnetwork.read_bytes()


# 61 examples: the third batch has 9, so that the shares of the processes are 5 and 4.
TOGETHER = {"processes": 2, "batch_size": 26, "augmentation": None, "weight_decay": 0.01}


def test_two_processes_stopped_and_resumed(chain: Jobs, disturbance: Disturbance, monkeypatch) -> None:
    """The second run of all iterations is in two parts, so it shows as well that each run gives the same bits."""
    chain.settings["pretrain"] |= TOGETHER
    saved = {}
    keep = Job.save_progress

    def save_progress(job: Job, state: dict) -> None:
        saved[int(state["iteration"][0])] = state
        keep(job, state)

    monkeypatch.setattr(Job, "save_progress", save_progress)
    straight = chain.pretrain("straight", 5, save=1)
    disturbance.at(3, terminate)
    with pytest.raises(SystemExit):
        chain.pretrain("stopped", 5)
    assert left(chain.folder / "stopped") == {path.name for path in (chain.folder / "stopped/.progress").iterdir()}
    assert chain.pretrain("stopped", 5).read_bytes() == straight.read_bytes()
    # By hand: each process normalises by its own share, and a gradient is the mean of theirs, by number of images.
    expected = iterations_by_hand(chain, 3)
    for name, value in expected.items():
        torch.testing.assert_close(torch.tensor(saved[3]["weights." + name]), value, rtol=1e-4, atol=1e-6)


def iterations_by_hand(chain: Jobs, count: int) -> dict[str, torch.Tensor]:
    """The parameters after some iterations in this process alone."""
    data, subset = tensors(chain.data), tensors(chain.indices)["indices"]
    images = torch.tensor(data["train_images"][subset]).float() / 16
    labels = torch.tensor(data["train_labels"][subset])
    settings = chain.settings["pretrain"]
    network = initial_network(ARCHITECTURE, 10, data["mean"].tolist(), data["std"].tolist(), "deep", "resnet8", 0)
    network.train()
    parameters = dict(network.named_parameters())
    momentum = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    order = BatchOrder(0, len(labels), settings["batch_size"])
    for iteration in range(count):
        batch = torch.from_numpy(order.indices(iteration))
        loss = 0
        for share in (batch[::2], batch[1::2]):
            loss = loss + torch.nn.functional.cross_entropy(network(images[share]), labels[share], reduction="sum")
        gradients = torch.autograd.grad(loss / len(batch), parameters.values())
        with torch.no_grad():
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                momentum[name].mul_(0.9).add_(gradient + 0.01 * parameter)
                parameter.sub_(settings["learning_rate"] * momentum[name])
    return {name: parameter.detach() for name, parameter in parameters.items()}


def test_a_killed_process_ends_the_training_with_its_name(chain: Jobs, disturbance: Disturbance, monkeypatch) -> None:
    chain.settings["pretrain"] |= TOGETHER
    started = []

    def joining(*arguments: object) -> None:
        started.extend(torch.multiprocessing.active_children())
        join(*arguments)

    join = replicas._join_group
    monkeypatch.setattr(replicas, "_join_group", joining)
    disturbance.at(2, lambda: started[0].kill())
    with pytest.raises(UserError, match=r"process 1 \(exit code -9\) of this training ended"):
        chain.pretrain("killed", 500)
    assert not left(chain.folder / "killed")
    assert not torch.multiprocessing.active_children()
