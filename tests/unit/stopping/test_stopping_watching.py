"""`goodsubnet watch` over folders in which files appear slowly, half-written, foreign or broken."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from goodsubnet.cli import NOT_YET, main
from goodsubnet.data.files import unpack
from goodsubnet.data.preparation import prepared
from goodsubnet.errors import UserError
from goodsubnet.networks import files
from goodsubnet.networks.deep import initial_network
from goodsubnet.networks.two_layer import initial_weights_of
from goodsubnet.runtime import artifacts
from goodsubnet.settings import load_configuration
from goodsubnet.settings.networks import TwoLayerArchitecture
from goodsubnet.stopping import watching
from goodsubnet.stopping.observation import relative_distance
from goodsubnet.stopping.watching import Trial, arriving, watch

WIDTH = 40
CONFIGURATION = {
    "targets": ["small"],
    "datasets": {
        "digits": {"source": "digits", "groups": [list("01234"), list("56789")]},
        "ten": {"source": "digits"},
    },
    "networks": {
        "narrow": {"kind": "two_layer", "width": WIDTH},
        "thin": {"kind": "deep", "architecture": "resnet8", "form": "cifar", "width_multiplier": 0.25},
    },
    "methods": {
        "greedy": {"algorithm": "greedy", "steps": 10},
        "layers": {"algorithm": "layer_greedy", "tolerance": 0.1},
    },
    "experiments": {
        "small": {
            **{"dataset": "digits", "networks": ["narrow"], "methods": ["greedy"], "examples": [50, 100], "seeds": [3]},
            "pretrain": {"iterations": 100, "checkpoints": {"every": 10}, "learning_rate": 0.1},
        },
        "deep": {
            **{"dataset": "ten", "networks": ["thin"], "methods": ["layers"], "examples": [50], "seeds": [0]},
            "pretrain": {
                **{"loss": "cross_entropy", "iterations": 100, "checkpoints": {"every": 10}, "learning_rate": 0.1},
                "schedule": "constant",
            },
        },
    },
    "stopping": {"rules": {"quick": {"rule": "plateau", "patience": 1}, "half": {"rule": "fixed_share"}}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def configuration(folder: Path):
    return load_configuration({**CONFIGURATION, "results_dir": str(folder.parent / "results")})


def weights(scale: float = 1.0) -> dict[str, np.ndarray]:
    architecture = TwoLayerArchitecture(kind="two_layer", width=WIDTH, initialisation="scaled")
    initial = initial_weights_of(architecture, 64, "small", "narrow", 3)
    return {name: np.float32(scale) * array for name, array in initial.items()}


def write(folder: Path, iteration: int, tensors: dict[str, np.ndarray] | None = None) -> Path:
    path = folder / f"iteration-{iteration}.safetensors"
    path.write_bytes(artifacts.encode_tensors(weights() if tensors is None else tensors))
    return path


def command(folder: Path, *arguments: str) -> list[str]:
    path = folder.parent / "mine.yaml"
    path.write_text(yaml.safe_dump({**CONFIGURATION, "results_dir": str(folder.parent / "results")}))
    return ["watch", str(folder), "--configuration", str(path), "--experiment", "small", *arguments]


def test_files_that_appear_slowly_are_read_once_they_are_whole(folder: Path) -> None:
    """A writer in another thread: in pieces, under the final name, and under a hidden one that is renamed."""
    content = artifacts.encode_tensors(weights())

    def writer() -> None:
        for iteration in (0, 10, 20):
            path = folder / f"iteration-{iteration}.safetensors"
            if iteration == 10:
                hidden = folder / f".{path.name}.x.tmp"
                hidden.write_bytes(content[:100])
                time.sleep(0.1)
                hidden.write_bytes(content)
                hidden.rename(path)
                continue
            with open(path, "wb") as file:
                for start in range(0, len(content), len(content) // 4):
                    file.write(content[start : start + len(content) // 4])
                    file.flush()
                    time.sleep(0.06)

    lines: list[str] = []
    thread = threading.Thread(target=writer)
    thread.start()
    trial = Trial(configuration(folder), "small")
    assert watch(folder, trial, "quick", poll=0.05, say=lines.append)
    thread.join()
    # The same weights each time: no improvement at the second.
    assert [line.split(" (")[0] for line in lines if line.startswith("iteration")] == [
        "iteration 0: go on",
        "iteration 10: enough",
    ]
    assert "accuracy" in lines[-1]
    assert "the dense network" in lines[-1]


def test_a_half_written_file_holds_up_the_later_ones_until_it_is_named(folder: Path) -> None:
    content = artifacts.encode_tensors(weights())
    (folder / "iteration-10.safetensors").write_bytes(content[: len(content) // 2])
    write(folder, 20)
    lines: list[str] = []
    began = time.monotonic()
    found = next(arriving(folder, once=False, poll=0.02, say=lines.append, patience=0.3))
    assert found == (20, folder / "iteration-20.safetensors")
    assert time.monotonic() - began >= 0.3
    assert lines == ["iteration-10.safetensors is not complete: left out; if nobody is writing it, delete it"]
    assert [iteration for iteration, _ in arriving(folder, once=True, poll=1, say=lines.append)] == [20]


@pytest.mark.parametrize("damage", [b"", b"\x05", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0{}x"])
def test_what_counts_as_whole(folder: Path, damage: bytes) -> None:
    path = write(folder, 0)
    assert watching.complete(path)
    path.write_bytes(damage)
    # Without a tensor a file may be whole: it is refused when it is read.
    assert watching.complete(path) == damage.endswith(b"{}")
    archive = folder / "iteration-1.pt"
    import torch

    torch.save({"a": torch.zeros(3)}, archive)
    assert watching.complete(archive)
    archive.write_bytes(archive.read_bytes()[:-30])
    assert not watching.complete(archive)


def test_once_says_by_its_status_whether_it_is_enough(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for iteration in (0, 10):
        write(folder, iteration)
    with pytest.raises(SystemExit) as ended:
        main(command(folder, "--once"))
    assert ended.value.code == NOT_YET == 3
    assert "measured on 100 of 100 training images" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(command(folder, "--once", "--rule", "quick", "--examples", "50"))
    assert ended.value.code == 0
    assert "iteration 10: enough (the subnetwork's loss has not fallen" in capsys.readouterr().out


def test_it_ends_at_the_last_planned_iteration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, 100)
    with pytest.raises(SystemExit) as ended:
        main(command(folder, "--poll", "0.05"))
    assert ended.value.code == NOT_YET
    assert "the planned 100 iterations are done, and the rule plateau did not say enough" in capsys.readouterr().out


def test_the_initial_weights_are_known_of_the_chains_own_files(folder: Path) -> None:
    """Of others the first checkpoint stands for them."""
    trial = Trial(configuration(folder), "small")
    path = write(folder, 10, weights(1.5))
    assert trial.observe(path, 10).distance == 0
    architecture = trial.configuration.networks["narrow"].as_architecture().model_dump(mode="json")
    settings = {"experiment": "small", "network": "narrow", "architecture": architecture}
    record = {
        "stage": "pretrain",
        "settings": settings,
        "wildcards": {"seed": 3},
        "outputs": {path.name: {"sha256": ""}},
    }
    artifacts.sidecar(path).write_bytes(artifacts.encode_json(record))
    again = Trial(configuration(folder), "small")
    assert again.observe(path, 10).distance == pytest.approx(0.5)
    assert relative_distance(weights(1.5), weights()) == pytest.approx(0.5)


def test_what_the_chain_stored_is_read_and_else_made(folder: Path) -> None:
    made = Trial(configuration(folder), "small")
    tensors = prepared(made.configuration.datasets["digits"].stored(), ".")
    assert unpack(tensors["class_names"]) == list("0123456789")
    assert np.array_equal(made.data["train_images"], tensors["train_images"])
    assert len(made.subset["indices"]) == 100
    assert len(made.probe) == 100
    results = folder.parent / "results"
    stored = {"data/digits/images": tensors, "small/subset/examples-50/seed-3": {"indices": np.arange(7)}}
    for name, content in stored.items():
        path, encoded = results / f"{name}.safetensors", artifacts.encode_tensors(content)
        artifacts.write(path, encoded)
        outputs = {path.name: {"sha256": artifacts.sha256(path), "bytes": len(encoded)}}
        artifacts.write(artifacts.sidecar(path), artifacts.encode_json({"outputs": outputs}))
    assert Trial(configuration(folder), "small", examples=50).subset["indices"].tolist() == list(range(7))
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(UserError, match="is damaged"):
        Trial(configuration(folder), "small", examples=50)


def test_a_deep_network(folder: Path) -> None:
    trial = Trial(configuration(folder), "deep")
    architecture = trial.configuration.networks["thin"].as_architecture()
    described = {"architecture": architecture, "classes": 10, "image": [1, 8, 8]}
    lines: list[str] = []
    for iteration in (10, 50):
        network = initial_network(architecture, 10, [0.3], [0.4], "deep", "thin", iteration)
        write(folder, iteration, files.encode(network, described))
    assert watch(folder, trial, "half", once=True, say=lines.append)
    assert lines[-1].startswith("iteration 50: enough (50 of 100 planned iterations, 50% were asked for)")
    wider = initial_network({**architecture, "width_multiplier": 0.5}, 10, [0.3], [0.4], "deep", "thin", 0)
    path = write(folder, 60, files.encode(wider, described))
    with pytest.raises(UserError, match=r"iteration-60.*: the tensor .* is .*, and network thin has"):
        trial.observe(path, 60)
    path = write(folder, 70, files.encode(network, {**described, "image": [1, 9, 9]}))
    with pytest.raises(UserError, match="the data have 10 of"):
        trial.observe(path, 70)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"a": np.zeros((WIDTH, 63), np.float32)}, r"the tensor a is \(40, 63\), and network narrow has \(40, 64\)"),
        ({"b": np.zeros(39, np.float32)}, r"the tensor b is \(39,\)"),
        ({"b": np.full(WIDTH, np.nan, np.float32)}, "b has weights that are not finite numbers: the training diverged"),
    ],
)
def test_checkpoints_that_do_not_fit_are_named(folder: Path, changed: dict, words: str) -> None:
    path = write(folder, 10, {**weights(), **changed})
    with pytest.raises(SystemExit, match=rf"error: {path}: {words}"):
        main(command(folder, "--once"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rule", "plateu"], r"rule 'plateu' is not under stopping.rules \(there: plateau, accuracy_plateau"),
        (["--network", "wide"], "network 'wide' is not in the configuration"),
        (["--network", "thin"], "network thin is not of the kind of experiment small"),
        (["--experiment", "big"], r"experiment 'big' is not in the configuration \(there: deep, small\)"),
        (["--examples", "55"], "examples: 55 asked with equal shares"),
        (["--poll", "0"], "--poll: seconds above 0"),
        ([], "holds no checkpoints named iteration-<t>.safetensors or iteration-<t>.pt$"),
    ],
)
def test_wrong_arguments_are_refused_in_words(folder: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit, match=words):
        main(command(folder, "--once", *arguments))


def test_a_folder_of_other_files(folder: Path) -> None:
    (folder / "epoch-3.pt").touch()
    with pytest.raises(UserError, match=r"holds no checkpoints .*, but epoch-3.pt: give it such a name"):
        list(arriving(folder, once=True, poll=1))
    with pytest.raises(UserError, match="is not a folder"):
        list(arriving(folder / "none", once=True, poll=1))
