"""Training and measuring of deep networks, against the same computed by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from free_jobs import FreeJob
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from goodsubnet.data.batches import ResidentImages
from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.networks.deep import ImageClassifier, initial_network
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.training import Crop
from goodsubnet.stages.choose import stage_of
from goodsubnet.training.fitting import Descent, Fit, measure, training_seed
from goodsubnet.training.images import images_of, measured_parts
from goodsubnet.training.shares import Share

DESCENT = Descent(
    **{"batch_size": 6, "learning_rate": 0.2, "schedule": "cosine", "schedule_iterations": 10},
    **{"momentum": 0.9, "weight_decay": 0.01, "precision": "float32"},
)
THIN = {"architecture": "resnet8", "form": "cifar", "width_multiplier": 0.25}
DESCRIPTION = {"architecture": THIN, "classes": 3, "image": [1, 6, 6]}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def examples(count: int = 20, augmentation: Crop | None = None) -> ResidentImages:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8)
    return ResidentImages(pixels, generator.integers(0, 3, count), 255, "cpu", augmentation)


def thin() -> ImageClassifier:
    return initial_network(THIN, 3, [0.5], [0.3], "e", "n", 0)


def with_dropout() -> ImageClassifier:
    network = ImageClassifier(
        nn.Sequential(nn.Flatten(), nn.Linear(36, 40), nn.ReLU(), nn.Dropout(0.5), nn.Linear(40, 3)), [0.5], [0.3]
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 10)
    return network


def parameters(network: nn.Module) -> list[np.ndarray]:
    return [parameter.detach().numpy().copy() for parameter in network.parameters()]


def test_training_is_momentum_decay_and_a_cosine_by_hand():
    images, network, mine = examples(), thin(), thin()
    Fit(network, DESCRIPTION, DESCENT, "cpu").run(images, 5, 0, 6)
    assert not network.training
    mine.train()
    weights = list(mine.parameters())
    velocity = [torch.zeros_like(weight) for weight in weights]
    order = BatchOrder(5, 20, 6)
    for iteration in range(6):
        indices = torch.from_numpy(order.indices(iteration))
        logits = mine(images.images[indices].float() / 255)
        loss = (logits.logsumexp(1) - logits.gather(1, images.labels[indices, None])[:, 0]).mean()
        gradients = torch.autograd.grad(loss, weights)
        rate = 0.2 * math.cos(math.pi * iteration / 20) ** 2
        with torch.no_grad():
            for weight, speed, gradient in zip(weights, velocity, gradients, strict=True):
                speed.mul_(0.9).add_(gradient + 0.01 * weight)
                weight.sub_(rate * speed)
    for found, expected in zip(parameters(network), parameters(mine), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("make", [thin, with_dropout])
def test_training_in_parts_is_training_in_one(make):
    images = examples(augmentation=Crop(padding=2, flip=True))
    whole = Fit(make(), DESCRIPTION, DESCENT, "cpu")
    whole.run(images, 5, 0, 7)
    part = Fit(make(), DESCRIPTION, DESCENT, "cpu")
    part.run(images, 5, 0, 3)
    torch.rand(7)
    rest = Fit(part.network, DESCRIPTION, DESCENT, "cpu", part.state(3))
    rest.run(images, 5, 3, 7)
    ends = whole.state(7), rest.state(7)
    assert artifacts.encode_tensors(ends[0]) == artifacts.encode_tensors(ends[1])
    assert ends[0]["iteration"].tolist() == [7]


def test_dropout_differs_from_iteration_to_iteration_and_from_seed_to_seed():
    """With a rate of 0 the weights stay, so what differs is what was dropped."""
    descent = replace(DESCENT, batch_size=20, learning_rate=1e-30, momentum=0.0, weight_decay=0.0)

    def losses(seed: int) -> list[float]:
        fit, found = Fit(with_dropout(), DESCRIPTION, descent, "cpu"), []
        fit.network.register_forward_hook(lambda _module, _inputs, logits: found.append(logits.sum().item()))
        fit.run(examples(), seed, 0, 4)
        return found

    assert losses(1) == losses(1)
    assert len({*losses(1), *losses(2)}) == 8


@pytest.mark.parametrize(
    ("count", "changed", "least"),
    [
        (13, {}, 1),
        (1, {}, 1),
        (12, {"batch_size": 1}, 1),
        (14, {"batch_size": 11, "processes": 2}, 3),
        (30, {"batch_size": 3, "processes": 2}, 3),
    ],
)
def test_a_batch_too_small_for_norms_is_refused_before_any_iteration(count, changed, least):
    fit, done = Fit(thin(), DESCRIPTION, replace(DESCENT, **changed), "cpu"), []
    with pytest.raises(UserError, match=f"batch_size: .* make one of {least}, and norms need two"):
        fit.run(examples(count), 0, 0, 3, done.append)
    assert done == []


@pytest.mark.parametrize(("count", "batch_size"), [(2, 6), (14, 6), (12, 6)])
def test_a_last_batch_of_two_is_enough(count, batch_size):
    done = []
    Fit(thin(), DESCRIPTION, replace(DESCENT, batch_size=batch_size), "cpu").run(examples(count), 0, 0, 3, done.append)
    assert done == [1, 2, 3]


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 4), st.integers(0, 12))
def test_shares_make_up_the_batch_and_their_weighted_means_its_mean(examples, batch_size, processes, iteration):
    order = BatchOrder(1, examples, batch_size)
    batch = order.indices(iteration)
    shares = [Share(rank, processes).of(BatchOrder(1, examples, batch_size)) for rank in range(processes)]
    parts = [share.indices(iteration) for share in shares]
    assert sorted(np.concatenate(parts)) == sorted(batch)
    assert {share.examples for share in shares} == {examples}
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    losses = np.sqrt(np.arange(examples) + 1.0)
    weighted = [
        share.weight(iteration) * losses[part].mean() for share, part in zip(shares, parts, strict=True) if len(part)
    ]
    assert sum(weighted) / processes == pytest.approx(losses[batch].mean())


def test_measuring_is_the_mean_over_all_images_in_evaluation_mode():
    images, network = examples(700), thin()
    with torch.no_grad():
        network.train()(images.images[:50].float() / 255)
    found = measure(network, images)
    with torch.no_grad():
        logits = network.eval().double()(images.images.double() / 255).numpy()
    right = logits.argmax(1) == images.labels.numpy()
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(700), images.labels.numpy()]
    assert found["accuracy"] == pytest.approx(right.mean(), abs=2 / 700)
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_a_network_that_diverged_cannot_be_measured():
    network = thin()
    network.network.fc.weight.data[0, 0] = math.nan
    with pytest.raises(UserError, match="the training diverged: the loss of the network is nan; lower its learning_r"):
        measure(network, examples())


def test_seeds_of_trainings_are_those_of_their_purpose():
    seeds = {
        training_seed(purpose, *key) for purpose in ("fine-tuning", "share of a batch") for key in ((0,), (1,), (0, 1))
    }
    assert len(seeds) == 6
    assert training_seed("fine-tuning", 0) == training_seed("fine-tuning", 0)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_images_of_each_part(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    data = {"train_images": pixels[:8], "train_labels": np.arange(8), "pixel_max": np.array([16])}
    data |= {"test_images": pixels[8:], "test_labels": np.arange(8, 12)}
    paths = {}
    for name, tensors in (
        ("data", data),
        ("subset", {"indices": np.array([1, 5, 6]), "validation": np.array([2])}),
        ("whole", {"indices": np.array([1, 5, 6]), "validation": np.array([], np.int64)}),
    ):
        paths[name] = tmp_path / f"{name}.safetensors"
        with FreeJob(name, paths[name], {}, {}) as job:
            job.save_tensors(tensors)
    machine = Machine("cpu", str(tmp_path), 0)
    expected = {"train": [1, 5, 6], "validation": [2], "test": [8, 9, 10, 11]}
    with FreeJob("any", tmp_path / "x.json", {}, {"data": paths["data"], "subset": paths["subset"]}) as job:
        assert measured_parts(job.tensors("subset")) == ["train", "validation", "test"]
        for part, values in expected.items():
            images = images_of(job.tensors("data"), job.tensors("subset"), machine, "cpu", part)
            ((found, labels),) = images.batches(10)
            assert labels.tolist() == values
            assert (found.flatten() * 16).tolist() == values
    with FreeJob("any", tmp_path / "x.json", {}, {"data": paths["data"], "subset": paths["whole"]}) as job:
        assert measured_parts(job.tensors("subset")) == ["train", "test"]


def test_a_stage_is_found_by_its_name():
    for kind in ("two_layer", "deep"):
        for stage in ("pretrain", "prune", "evaluate"):
            found = stage_of(kind, stage)
            assert found.__name__ == stage
            assert found.__module__ == f"goodsubnet.stages.{kind}.{stage}"
    with pytest.raises(ModuleNotFoundError):
        stage_of("two_layer", "calibrate")
