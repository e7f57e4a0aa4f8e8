"""The worked example of docs/own_network.md: a network that is not ours, trained by the chain and by another loop."""

import copy
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import collect
import numpy as np
import pytest
import torch
import yaml
from chain import Chain
from deep_jobs import Jobs, left, tensors
from free_jobs import read_json
from project import ROOT, Project
from torch import Tensor
from torch.nn import functional

from goodsubnet import cli, preflight
from goodsubnet.errors import UserError
from goodsubnet.exchange.importing import import_checkpoints
from goodsubnet.networks.architectures.own_file import described
from goodsubnet.networks.files import load
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.audit import Audit
from goodsubnet.settings import load_configuration

EXAMPLE = Path("examples/own_network")
MARKS = [20, 40]
TABLES = [f"results/{name}/evaluations.csv" for name in ("own_here", "own_elsewhere")]
IMPORTED = "results/own_imported/examples-100/seed-0/iteration-{}.safetensors"


def small_example() -> dict:
    """The example's configuration with a smaller grid."""
    # The two experiments share their parts in the file; here each has its own.
    settings = json.loads(json.dumps(yaml.safe_load((ROOT / EXAMPLE / "own.yaml").read_text())))
    for experiment in settings["experiments"].values():
        experiment["examples"] = [100]
        experiment["pretrain"] |= {"iterations": MARKS[-1], "checkpoints": MARKS}
        experiment["finetune"] = {**experiment["finetune"], "iterations": 5}
    (method,) = settings["methods"].values()
    del method["flops_ratio"], method["flops_margin"]
    method |= {"tolerance": 0.2, "probe_size": 64, "batch_size": 32}
    return settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The commands of the page, in a folder of their own."""
    torch.set_num_threads(1)
    project = Project(tmp_path_factory.mktemp("own"))
    shutil.copytree(ROOT / EXAMPLE, project.folder / EXAMPLE)
    project.settings = small_example()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        project.snakemake("subset_all")
        with pytest.raises(
            UserError, match=r"networks\.small_cnn_elsewhere\.checkpoints: .*20\.safetensors is missing; br"
        ):
            preflight.check_checkpoints(load_configuration(project.settings), "own_elsewhere")
        subprocess.run([sys.executable, EXAMPLE / "train.py", "--checkpoints", *map(str, MARKS)], check=True)
        sources = [str(path) for path in Path("results/own_loop").glob("*/*/*.pt")]
        names = ["--configuration", "config/config.yaml", "--network", "small_cnn_elsewhere"]
        cli.main(["import", *sources, *names])
        project.snakemake(*TABLES)
    return project


@pytest.fixture
def here(run: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The finished run, for this test alone, which is where it lies."""
    shutil.copytree(run.folder, tmp_path / "run")
    project = Project(tmp_path / "run")
    project.settings = copy.deepcopy(run.settings)
    monkeypatch.chdir(project.folder)
    return project


def rows(project: Project, experiment: str) -> list[dict[str, str]]:
    with open(project.folder / f"results/{experiment}/evaluations.csv") as file:
        return list(csv.DictReader(file))


def examples(project: Project, part: str) -> tuple[Tensor, Tensor]:
    """Images in [0, 1], and labels."""
    data = artifacts.map_tensors(project.folder / "results/data/digits/images.safetensors")
    subset = artifacts.map_tensors(project.folder / "results/own_here/subset/examples-100/seed-0.safetensors")
    chosen = subset["indices"] if part == "train" else slice(None)
    pixels, labels = data[f"{part}_images"][chosen], data[f"{part}_labels"][chosen]
    return torch.tensor(pixels).float() / 16, torch.tensor(labels)


def measured(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    loss = functional.cross_entropy(logits.double(), labels).item()
    return (logits.argmax(1) == labels).double().mean().item(), loss


@torch.no_grad()
def test_the_numbers_of_both_are_those_of_the_stored_networks(run: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.folder)
    shrunk = 0
    for experiment, network in (("own_here", "small_cnn"), ("own_elsewhere", "small_cnn_elsewhere")):
        found = rows(run, experiment)
        assert [int(row["iteration"]) for row in found] == MARKS
        for row in found:
            cell = f"{network}/examples-100/seed-0/iteration-{row['iteration']}.safetensors"
            for part in ("train", "test"):
                images, labels = examples(run, part)
                places = {"dense_": "pretrain", "": "finetune/greedy_50"}
                for kind, place in places.items():
                    stored, _ = load(run.folder / "results" / experiment / place / cell)
                    accuracy, loss = measured(stored(images), labels)
                    assert float(row[f"{kind}{part}_accuracy"]) == pytest.approx(accuracy, abs=1e-12)
                    assert float(row[f"{kind}{part}_loss"]) == pytest.approx(loss, rel=1e-4)
            shrunk += float(row["params_ratio"]) < 1
    assert shrunk >= 2


@torch.no_grad()
def test_the_dense_network_is_what_the_own_loop_saved(run: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its accuracies are those of the loop's files, by plain torch and the loop's own normalisation."""
    monkeypatch.syspath_prepend(run.folder / EXAMPLE)
    from network import build

    images, labels = examples(run, "test")
    for row in rows(run, "own_elsewhere"):
        network = build(classes=10, channels=1).eval()
        state = torch.load(run.folder / f"results/own_loop/examples-100/seed-0/iteration-{row['iteration']}.pt")
        network.load_state_dict(state)
        accuracy, loss = measured(network((images - 0.5) / 0.5), labels)
        assert float(row["dense_test_accuracy"]) == pytest.approx(accuracy, abs=1e-12)
        assert float(row["dense_test_loss"]) == pytest.approx(loss, rel=1e-4)
    assert accuracy > 0.5


def test_a_comment_a_rate_and_the_same_checkpoint_again_run_nothing(here: Project) -> None:
    network = here.folder / EXAMPLE / "network.py"
    network.write_text(network.read_text().replace("from torch", "# A comment\nfrom torch", 1))
    here.settings["experiments"]["own_elsewhere"]["pretrain"] |= {"learning_rate": 0.3, "batch_size": 16}
    import_example(here, 20)
    assert here.plan(*TABLES) == {}


def test_other_code_of_the_network_trains_it_again(here: Project) -> None:
    network = here.folder / EXAMPLE / "network.py"
    network.write_text(network.read_text().replace("nn.ReLU", "nn.SiLU"))
    again = {"prune": 4, "finetune": 4, "evaluate": 4, "plan": 2, "collect": 2}
    assert here.plan(*TABLES) == {"pretrain": 2, "adopt": 2, **again}


def import_example(project: Project, iteration: int, source: int | None = None) -> None:
    source = iteration if source is None else source
    path = Path(f"results/own_loop/examples-100/seed-0/iteration-{source}.pt")
    configuration = load_configuration(project.settings)
    import_checkpoints([path], configuration, "small_cnn_elsewhere", numbers={"iteration": iteration})


def test_another_checkpoint_makes_its_own_cell_again(here: Project) -> None:
    import_example(here, 20, source=40)
    assert here.plan(*TABLES) == {"adopt": 1, "prune": 1, "finetune": 1, "evaluate": 1, "collect": 1}
    # Where Snakemake's memory was lost, the table is refused.
    (plan,) = here.folder.glob("results/own_elsewhere/plan/collect/" + "[0-9a-f]" * 12 + ".json")
    audit = Audit(json.loads(plan.read_text()))
    audit.check()
    assert collect.gather(audit) == []
    adopted = "results/own_elsewhere/pretrain/small_cnn_elsewhere/examples-100/seed-0/iteration-20.safetensors"
    assert audit.unfit[adopted] == f"made from another foreign than {IMPORTED.format(20)} as it is today"
    cell = "small_cnn_elsewhere/examples-100/seed-0/iteration-20"
    assert all(cell in path for path in audit.unfit)
    artifacts.sidecar(IMPORTED.format(40)).unlink()
    with pytest.raises(UserError, match=r"iteration-40\.safetensors was not imported"):
        preflight.check_checkpoints(load_configuration(here.settings), "own_elsewhere")


def test_another_normalisation_takes_the_checkpoints_up_again(here: Project) -> None:
    def settings() -> list[str]:
        chain = Chain(load_configuration(here.settings))
        names = {"experiment": "own_elsewhere", "network": "small_cnn_elsewhere"}
        prune = chain.settings("prune", {**names, "method": "greedy_50"})
        return [chain.settings("adopt", names), chain.settings("subset", {"experiment": "own_elsewhere"}), prune]

    before = settings()
    here.settings["networks"]["small_cnn_elsewhere"]["mean"] = [0.4]
    assert [old == new for old, new in zip(before, settings(), strict=True)] == [False, True, True]


# ---- the stage itself, called as its rule calls it

NETWORKS = {
    "own": {"kind": "deep", "file": "mine.py"},
    "resnet": {"kind": "deep", "architecture": "resnet8", "form": "cifar", "width_multiplier": 0.25},
    "wide": {"kind": "two_layer", "width": 30},
}
METHODS = {
    "layers": {"algorithm": "layer_greedy", "tolerance": 0.2, "probe_size": 64, "batch_size": 32},
    "neurons": {"algorithm": "magnitude", "steps": 5},
}


def jobs_of(folder: Path, network: str) -> Jobs:
    """The jobs of a small experiment of a network, trained here and elsewhere."""
    kind = NETWORKS[network]["kind"]
    method = "layers" if kind == "deep" else "neurons"
    (folder / "mine.py").write_text((ROOT / EXAMPLE / "network.py").read_text())
    training = {"iterations": 3, "checkpoints": [3], "batch_size": 16, "learning_rate": 0.05}
    if kind == "deep":
        training |= {"loss": "cross_entropy", "schedule": "constant"}
    elsewhere = {**NETWORKS[network], "checkpoints": "in/{iteration}.safetensors"}
    names = {"experiment": "small", "network": network}
    experiment = {"dataset": "digits", "methods": [method], "examples": [100], "seeds": [0], "pretrain": training}
    groups = None if kind == "deep" else [list("01234"), list("56789")]
    configuration = load_configuration(
        {
            "targets": ["small"],
            "datasets": {"digits": {"source": "digits", "groups": groups}},
            "networks": {network: NETWORKS[network], "elsewhere": elsewhere},
            "methods": METHODS,
            "experiments": {
                "small": {**experiment, "networks": [network]},
                "other": {**experiment, "networks": ["elsewhere"]},
            },
        }
    )
    chain, jobs = Chain(configuration), Jobs(folder)
    jobs.configuration = configuration
    asked = {
        "prepare": chain.settings("prepare", {"dataset": "digits"}),
        "subset": chain.settings("subset", {"experiment": "small"}),
        "pretrain": chain.settings("pretrain", names),
        "adopt": chain.settings("adopt", {"experiment": "other", "network": "elsewhere"}),
        "prune": chain.settings("prune", {**names, "method": method}),
        "evaluate": chain.settings("evaluate", {**names, "method": method}),
    }
    jobs.settings = {stage: json.loads(settings) for stage, settings in asked.items()}
    jobs.prepare()
    jobs.subset(100)
    return jobs


def saved_by_torch(checkpoint: Path, path: Path) -> None:
    """The weights of a checkpoint of the chain, as a training loop would have saved them."""
    stored = tensors(checkpoint)
    if "description" in stored:
        torch.save(load(checkpoint)[0].network.state_dict(), path)
    else:
        torch.save({name: torch.tensor(stored[name]) for name in "ab"}, path)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_weights_from_elsewhere_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    jobs = jobs_of(tmp_path, network)
    trained = jobs.pretrain("here", 3)
    saved_by_torch(trained, tmp_path / "net-3.pt")
    (foreign,) = import_checkpoints([tmp_path / "net-3.pt"], jobs.configuration, "elsewhere")
    adopted = jobs.adopt("there", foreign, 3)
    ours = {name: tensor for name, tensor in tensors(trained).items() if not name.startswith("momentum.")}
    theirs = tensors(adopted)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.tobytes() == theirs[name].tobytes(), name
    dense, again = (read_json(path.with_suffix(".dense.json")) for path in (trained, adopted))
    dense.pop("learning_rate_per_neuron", None)
    assert again == pytest.approx(dense, rel=1e-6)
    pruned = [jobs.prune(f"pruned-{name}", path) for name, path in (("here", trained), ("there", adopted))]
    assert pruned[0].read_bytes() == pruned[1].read_bytes()
    assert jobs.evaluate("e-here", pruned[0]) == jobs.evaluate("e-there", pruned[1])


def broken(path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
    """A file with other tensors, and a sidecar that says it was so imported."""
    content = artifacts.encode_tensors(change({name: tensor.copy() for name, tensor in tensors(path).items()}))
    path.write_bytes(content)
    provenance = json.loads(artifacts.sidecar(path).read_text())
    provenance["outputs"][path.name] = {"sha256": artifacts.sha256(path), "bytes": len(content)}
    artifacts.sidecar(path).write_text(json.dumps(provenance))


@pytest.mark.parametrize(
    ("network", "change", "said"),
    [
        ("own", lambda t: t | {"6.bias": t["6.bias"] * np.nan}, r"3\.safetensors: the tensor 6\.bias has values that"),
        (
            "own",
            lambda t: {"a": t["6.bias"]},
            r"3\.safetensors is not of this network: it lacks 0\.0\.weight, 0\.1\.bias",
        ),
        (
            "wide",
            lambda t: t | {"b": t["b"][1:]},
            r"tensor b has the shape \(29,\), and that of the network is \(30,\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str, change: Callable, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    jobs = jobs_of(tmp_path, network)
    state = {"a": torch.ones(30, 64), "b": torch.ones(30)}
    if network == "own":
        monkeypatch.syspath_prepend(tmp_path)
        from mine import build

        state = build(10, 1).state_dict()
    torch.save(state, "net-3.pt")
    (foreign,) = import_checkpoints([Path("net-3.pt")], jobs.configuration, "elsewhere")
    broken(foreign, change)
    with pytest.raises(UserError, match=said) as error:
        jobs.adopt("there", foreign, 3)
    assert "\n" not in str(error.value)
    foreign.write_bytes(foreign.read_bytes()[:-1])
    with pytest.raises(
        UserError, match=r"3\.safetensors is damaged: it has .* written; bring it in with `goodsubnet i"
    ):
        jobs.adopt("there", foreign, 3)
    artifacts.sidecar(foreign).unlink()
    with pytest.raises(
        UserError, match=r"3\.safetensors was not imported \(3\.provenance\.json is missing\); bring it"
    ):
        jobs.adopt("there", foreign, 3)
    assert not left(tmp_path / "there")


def test_a_wrong_file_of_a_network_stops_before_any_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    configuration = load_configuration(small_example())
    with pytest.raises(
        UserError, match=r"networks\.small_cnn\.file: examples/own_network/network\.py is missing"
    ) as error:
        preflight.check(configuration)
    assert "\n" not in str(error.value)
    EXAMPLE.mkdir(parents=True)
    (EXAMPLE / "network.py").write_text("def build(classes, depth): pass\n")
    with pytest.raises(
        UserError, match=r"networks\.small_cnn\.file: .* build asks for depth, and is given classes and"
    ):
        preflight.check(configuration)


def test_a_network_that_cannot_be_built_ends_its_job_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    jobs = jobs_of(tmp_path, "own")
    mine = tmp_path / "mine.py"
    text = mine.read_text()
    mine.write_text(text.replace("nn.ReLU", "nn.SiLU"))
    with pytest.raises(UserError, match=r"mine\.py: its code is another than that of the network"):
        jobs.pretrain("here", 3)
    for old, new, said in (
        (
            "    return nn.Sequential(\n",
            "    raise OSError('no weights')\n    return nn.Sequential(\n",
            "build raised OSError",
        ),
        ("nn.Linear(64, classes)", "nn.Linear(64, 7)", r"the network returns \(2, 7\) for 2 images of 10 classes"),
        ("block(channels, 16)", "block(3, 16)", "size: the network cannot take images of 8 x 8 pixels"),
    ):
        assert old in text
        mine.write_text(text.replace(old, new))
        jobs.settings["pretrain"]["architecture"] = {"kind": "deep", **described("mine.py", "build")}
        with pytest.raises(UserError, match=said) as error:
            jobs.pretrain("here", 3)
        assert "\n" not in str(error.value)
    assert not left(tmp_path / "here")
