"""Bad input to a deep network's chain: one clear line before any job, or in the first job that can know."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from deep_jobs import ARCHITECTURE, CONFIGURATION, GREEDY, Jobs, experiment, folder_chain, left, pets
from free_jobs import FreeJob as Job
from PIL import Image
from project import Project

from goodsubnet import preflight
from goodsubnet.errors import UserError
from goodsubnet.networks.files import load
from goodsubnet.settings import load_configuration

TWO_LAYER = {"kind": "two_layer", "width": 20}
FILES = {"source": "folder", "path": "pets", "size": [16, 16], "storage": "files"}
REMOVED = object()


def assert_one_line(message: str) -> None:
    assert "\n" not in message
    assert len(message) < 400


def changed(settings: dict, changes: dict[str, Any]) -> dict:
    """A copy of settings. changes: path of a key, with dots -> value; the experiment's keys begin with a dot."""
    settings = copy.deepcopy(settings)
    for path, value in changes.items():
        *parents, key = (f"experiments.small{path}" if path.startswith(".") else path).split(".")
        entry = settings
        for parent in parents:
            entry = entry[parent]
        if value is REMOVED:
            del entry[key]
        else:
            entry[key] = value
    return settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"networks.two": TWO_LAYER, ".networks": ["thin", "two"]},
            "experiments.small.networks: thin and two are of two kinds; make two experiments",
        ),
        (
            {"methods.few": {"algorithm": "greedy", "steps": 5}, ".methods": ["few"]},
            "methods: few (greedy) does not prune networks of kind deep; the algorithms that do are layer_greedy,",
        ),
        (
            {".methods": ["magnitude"]},
            "experiments.small.methods: magnitude takes its widths from greedy, which is not among them",
        ),
        ({"methods.magnitude.widths_from": "nobody"}, "magnitude takes its widths from nobody, which is not among"),
        (
            {"methods.random.widths_from": "magnitude", ".methods": ["greedy", "magnitude", "random"]},
            "methods.random.widths_from: magnitude takes its own widths from another method",
        ),
        ({".pretrain.schedule_iterations": REMOVED}, "schedule: cosine needs schedule_iterations"),
        (
            {".pretrain.iterations": 500},
            "goes beyond schedule_iterations = 400, where the learning rate is 0; raise schedule_iterations",
        ),
        ({".pretrain.schedule": "constant"}, "schedule: constant has no use for schedule_iterations; leave it out"),
        (
            {".pretrain.loss": REMOVED},
            "augmentation, schedule, schedule_iterations: for deep networks only, whose loss is cross_entropy",
        ),
        ({".pretrain.lr_scaling": "plain"}, "experiments.small.pretrain.lr_scaling: unknown key here"),
        ({"networks.thin.architecture": "resnet9"}, "networks.thin: architecture: 'resnet9' is unknown; give one of"),
        (
            {"networks.thin.architecture": "vgg16", "networks.thin.width_multiplier": 1},
            "form: vgg16 has no form cifar; give imagenet, or a ResNet or mobilenet_v2",
        ),
        (
            {"networks.thin.architecture": "vgg16", "networks.thin.form": "imagenet"},
            "width_multiplier: vgg16 has none; give 1",
        ),
        ({"networks.thin.width_multiplier": 0}, "networks.thin.width_multiplier: input should be greater than 0"),
        ({"methods.greedy.tolerance": 0.1}, "methods.greedy: give either tolerance or flops_ratio"),
        ({"methods.greedy.flops_ratio": 1.2}, "methods.greedy.flops_ratio: input should be less than 1"),
        ({"datasets.digits": {**FILES, "size": None}}, "storage: files needs a size with height and width equal"),
        ({"datasets.digits": {**FILES, "size": [16, 8]}}, "storage: files needs a size with height and width equal"),
        (
            {"datasets.digits": FILES},
            "experiments.small.pretrain.augmentation: images with storage: files are varied by {scale: [0.2, 1.0]}",
        ),
        (
            {".pretrain.augmentation": {"scale": [0.2, 1.0]}},
            "experiments.small.pretrain.augmentation: images with storage: memory are varied by {padding: 4}",
        ),
        (
            {".pretrain.augmentation": {"scale": [1.0, 0.2]}},
            "experiments.small.pretrain.augmentation.scale: two shares of at most 1, the smaller one first",
        ),
        ({".pretrain.processes": 3}, "batch_size = 16 cannot be shared evenly by 3 processes"),
        ({".validation_share": 1.0}, "experiments.small.validation_share: input should be less than 1"),
        ({".finetune.iterations": REMOVED}, "experiments.small.finetune.iterations: is missing"),
    ],
)
def test_a_configuration_that_does_not_fit(changes: dict[str, Any], said: str) -> None:
    load_configuration(CONFIGURATION)
    with pytest.raises(UserError) as error:
        load_configuration(changed(CONFIGURATION, changes))
    first, *faults = str(error.value).splitlines()
    assert first == "the configuration is not valid:"
    assert any(said in fault for fault in faults), faults


def test_folders_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    """Before any job: what the names tell. In the job that reads them: what the headers tell."""
    settings = changed(
        CONFIGURATION,
        {
            **{"data_dir": str(tmp_path), "results_dir": str(tmp_path / "results"), "datasets.digits": FILES},
            **{".pretrain.augmentation": None, ".examples": [24]},
        },
    )

    def check(settings: dict = settings) -> None:
        preflight.check(load_configuration(settings))

    (tmp_path / "pets/train").mkdir(parents=True)
    with pytest.raises(UserError, match="has no class folders; put the images into one folder per class") as error:
        check()
    assert_one_line(str(error.value))
    for part in ("train/cat", "val/cat"):
        (tmp_path / "pets" / part).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "pets" / part / "0.png")
    with pytest.raises(UserError, match=r"datasets\.digits: there is one class, cat, and nothing to tell it from"):
        check(changed(settings, {".examples": [1]}))
    shutil.rmtree(tmp_path / "pets")
    pets(tmp_path / "pets")
    check()
    with pytest.raises(UserError, match=r"the smallest class \(cat\) has only 8 training examples"):
        check(changed(settings, {".examples": [27]}))
    (tmp_path / "pets/val/eel").rename(tmp_path / "pets/val/fox")
    with pytest.raises(UserError, match="class 'eel' is in train but not in val"):
        check()
    (tmp_path / "pets/val/fox").rename(tmp_path / "pets/val/eel")
    (tmp_path / "pets/val/eel/2.png").write_bytes(b"GIF89a, no")
    chain = folder_chain(tmp_path)
    with pytest.raises(UserError, match=r"pets/val/eel/2.png' cannot be read as an image") as error:
        chain.prepare()
    assert_one_line(str(error.value))
    assert not list(tmp_path.glob("images*"))


def test_an_image_that_is_damaged_after_its_header(tmp_path: Path) -> None:
    pets(tmp_path / "pets")
    path = tmp_path / "pets/train/dog/3.png"
    path.write_bytes(path.read_bytes()[:200])
    chain = folder_chain(tmp_path)
    chain.prepare()
    chain.subset(24)
    for readers in ("0", "1"):
        chain.machine += ["--readers", readers]
        with pytest.raises(UserError, match=r"pets/train/dog/3.png' cannot be read as an image") as error:
            chain.pretrain("dense", 3)
        assert_one_line(str(error.value))
    assert not left(tmp_path / "dense")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    torch.set_num_threads(1)
    chain = Jobs(tmp_path_factory.mktemp("errors"))
    chain.prepare()
    chain.subset(100)
    chain.pretrain("dense-0", 0)
    chain.pretrain("dense-5", 200)
    return chain


OF_TORCHVISION = {**ARCHITECTURE, "width_multiplier": 1.0, "form": "imagenet"}


@pytest.mark.parametrize(
    ("stage", "given", "said"),
    [
        (
            "pretrain",
            {"architecture": {**OF_TORCHVISION, "architecture": "vgg11"}},
            r"size: the network cannot take images of 8 x 8 pixels \(.*\); raise `size`",
        ),
        ("pretrain", {"batch_size": 11}, "100 examples in batches of 11 make one of 1, and norms need two images"),
        ("pretrain", {"batch_size": 1}, "batches of 1 make one of 1"),
        ("pretrain", {"batch_size": 97, "processes": 2, "iteration": 0}, "make one of 3, .* in each of 2 processes"),
        ("pretrain", {"learning_rate": 1e6}, r"the training diverged: the loss is (nan|inf) at iteration \d; lower"),
        # The last step: no loss follows in which it could be seen.
        ("pretrain", {"learning_rate": 1e6, "momentum": 0.0, "iteration": 1}, "the training diverged: the loss of"),
        ("finetune", {"learning_rate": 1e6}, r"the training diverged: the loss is (nan|inf) at iteration \d"),
        ("finetune", {"batch_size": 33}, "100 examples in batches of 33 make one of 1"),
        (
            "prune",
            {"method": {**GREEDY, "tolerance": 0.0, "batch_accuracy": 1.0, "max_steps": 1}},
            "the tolerance 0 keeps every channel",
        ),
        ("prune", {"method": {**GREEDY, "tolerance": 0.99, "batch_accuracy": 0.0}, "iteration": 0}, "keeps nothing"),
        (
            "prune",
            {"method": {**GREEDY, "finetune_iterations": 2, "batch_size": 33}},
            "100 examples in batches of 33 make one of 1",
        ),
        (
            "calibrate",
            {"method": {**GREEDY, "tolerance": None, "flops_ratio": 0.1}},
            r"flops_ratio: 0.1 of the multiply-adds is out of reach: with one channel .* 0.216 are left; ask for more",
        ),
    ],
)
def test_a_job_that_cannot_end_well(trained: Jobs, tmp_path: Path, stage: str, given: dict, said: str) -> None:
    chain = Jobs(tmp_path)
    chain.data, chain.indices = trained.data, trained.indices
    iteration = given.get("iteration", 5)
    chain.settings[stage] |= {key: value for key, value in given.items() if key != "iteration"}
    dense = trained.folder / f"dense-{iteration}/x.safetensors"
    with pytest.raises(UserError, match=said) as error:
        if stage == "pretrain":
            chain.pretrain("out", iteration)
        else:
            getattr(chain, stage)("out", dense)
    assert_one_line(str(error.value))
    assert not left(tmp_path)


@pytest.mark.parametrize(("tolerance", "widths"), [(0.0, [4, 8, 16]), (0.99, [1, 1, 1])])
def test_a_tolerance_of_another_checkpoint_is_not_to_blame(
    trained: Jobs, tmp_path: Path, tolerance: float, widths: list[int]
) -> None:
    """That of the last checkpoint may keep everything of an early one, or nothing: a point of the table, no error."""
    chain = Jobs(tmp_path)
    chain.data, chain.indices = trained.data, trained.indices
    chain.settings["prune"]["method"] |= {"tolerance": None, "flops_ratio": 0.6}
    chain.settings["prune"]["method"] |= (
        {"batch_accuracy": 1.0, "max_steps": 1} if tolerance == 0 else {"batch_accuracy": 0.0}
    )
    with Job("calibrate", tmp_path / "found.json", {}, {}) as job:
        job.save_json({"tolerance": tolerance})
    dense = trained.folder / f"dense-{0 if tolerance else 5}/x.safetensors"
    pruned = chain.prune("out", dense, tolerance=tmp_path / "found.json")
    assert [len(layer["kept"]) for layer in load(pruned)[1]["pruning"]["layers"]] == widths


def test_a_network_without_a_layer_to_prune(tmp_path: Path) -> None:
    """Found before the first iteration, not after the training."""
    pets(tmp_path / "pets")
    chain = folder_chain(tmp_path, size=[224, 224])
    chain.settings["pretrain"]["architecture"] = {**OF_TORCHVISION, "architecture": "vit_b_16"}
    chain.prepare()
    chain.subset(24)
    with pytest.raises(UserError, match="VisionTransformer has no layer that can be pruned") as error:
        chain.pretrain("dense", 1)
    assert_one_line(str(error.value))
    assert not left(tmp_path / "dense")


def test_a_validation_share_that_leaves_nothing(trained: Jobs, tmp_path: Path) -> None:
    chain = Jobs(tmp_path)
    chain.data = trained.data
    for share, said in ((0.97, "leaves none to train on; lower it"), (0.01, "holds none out; raise it")):
        chain.settings["subset"]["validation_share"] = share
        with pytest.raises(UserError, match=f"validation_share: {share} of .*{said}") as error:
            chain.subset(100)
        assert_one_line(str(error.value))
    assert not left(tmp_path)


def test_a_folder_that_is_not_named_switches_its_experiment_off(project: Project) -> None:
    """It is left out of the run; asked for by name, it says what to do."""
    project.settings["datasets"]["photos"] = {**FILES, "path": None}
    project.settings["networks"] |= CONFIGURATION["networks"]
    project.settings["methods"] |= {"layers": CONFIGURATION["methods"]["greedy"]}
    changes = {".dataset": "photos", ".methods": ["layers"], ".pretrain.augmentation": {"scale": [0.2, 1.0]}}
    project.settings["experiments"]["photos"] = experiment(changed(CONFIGURATION, changes))
    alone = project.plan()
    assert alone["pretrain"] == 6
    project.settings["targets"] = ["small", "photos"]
    assert project.plan() == alone
    result = project.snakemake("photos", check=False)
    assert result.returncode != 0
    assert "experiments.photos: its images are not named; set datasets.photos.path" in result.stdout
    assert not (project.folder / "results").exists()
