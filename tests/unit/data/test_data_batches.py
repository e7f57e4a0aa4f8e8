"""Batches of images on the device and of images in files: the right ones, whatever was read before and by whom."""

import gc
import multiprocessing
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from goodsubnet.data.augmentation import crop_and_flip
from goodsubnet.data.batches import ResidentImages, StreamedImages
from goodsubnet.data.order import BatchOrder
from goodsubnet.errors import UserError
from goodsubnet.settings.training import Crop, ResizedCrop

COUNT = 10
LABELS = np.arange(COUNT, dtype=np.int64) % 3
AUGMENTATION = ResizedCrop(scale=[0.2, 1.0], flip=True)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pixels(seed, *shape, largest=255):
    return np.random.default_rng(seed).integers(0, largest + 1, shape, dtype=np.uint8)


def resident(augmentation=None, pixel_max=255):
    return ResidentImages(pixels(0, COUNT, 3, 8, 6, largest=pixel_max), LABELS, pixel_max, "cpu", augmentation)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten images of different sizes; PNG, so that what is read is known."""
    root = tmp_path_factory.mktemp("images")
    for index in range(COUNT):
        Image.fromarray(pixels(index, 20 + index, 30 - index, 3)).save(root / f"{index}.png")
    return root


def files(count=COUNT):
    return [f"{index}.png" for index in range(count)]


def streamed(folder, augmentation=AUGMENTATION, readers=0, channels=3, size=14):
    return StreamedImages(folder, files(), LABELS, channels, size, "cpu", augmentation, readers)


def same(first, second):
    first, second = list(first), list(second)
    return len(first) == len(second) > 0 and all(
        torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(params=["resident", "streamed"])
def source(request, folder):
    return resident(Crop(padding=2, flip=True)) if request.param == "resident" else streamed(folder)


def test_dtypes_shapes_and_range(source):
    for images, labels in [*source.training_batches(BatchOrder(0, COUNT, 4), 0, 0, 4), *source.batches(4)]:
        assert images.dtype == torch.float32
        assert images.shape[1:] == source.image_shape
        assert 0 <= images.min() < 0.25 < 0.75 < images.max() <= 1
        assert labels.dtype == torch.int64
        assert len(labels) == len(images)
    assert len(source) == COUNT


def test_labels_are_those_of_the_order(source):
    order = BatchOrder(3, COUNT, 4)
    labels = [labels.numpy() for _, labels in source.training_batches(order, 0, 2, 9)]
    for now, drawn in zip(range(2, 9), labels, strict=True):
        np.testing.assert_array_equal(drawn, LABELS[order.indices(now)])


def test_resumed_sees_the_same(source):
    straight = list(source.training_batches(BatchOrder(1, COUNT, 4), 5, 0, 7))
    parts = [
        batch
        for a, b in [(0, 2), (2, 3), (3, 7)]
        for batch in source.training_batches(BatchOrder(1, COUNT, 4), 5, a, b)
    ]
    assert same(straight, parts)
    assert not same(straight, source.training_batches(BatchOrder(1, COUNT, 4), 6, 0, 7))


def test_iterations_are_augmented_differently(source):
    order = BatchOrder(0, COUNT, "full")
    (first, _), (second, _) = source.training_batches(order, 0, 0, 2)
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_all_images_in_order_in_batches_of_any_size(source):
    whole = next(source.batches(COUNT))
    np.testing.assert_array_equal(whole[1].numpy(), LABELS)
    for size in (1, 4, 5, 99):
        batches = list(source.batches(size))
        assert [len(labels) for _, labels in batches[:-1]] == [size] * (len(batches) - 1)
        assert torch.equal(torch.cat([images for images, _ in batches]), whole[0])
        assert torch.equal(torch.cat([labels for _, labels in batches]), whole[1])


@pytest.mark.parametrize("indices", [[7, 0, 7], np.array([3]), range(2, 5)])
def test_take(source, indices):
    images, labels = next(source.batches(COUNT))
    taken = source.take(indices)
    assert torch.equal(taken[0], images[list(indices)])
    assert torch.equal(taken[1], labels[list(indices)])


def test_order_of_another_data_set_is_refused(source):
    with pytest.raises(ValueError, match="order is one of 9 examples"):
        next(source.training_batches(BatchOrder(0, COUNT - 1, 4), 0, 0, 1))


def test_global_stream_is_left_alone(source):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(source.training_batches(BatchOrder(0, COUNT, 4), 0, 0, 2))
    list(source.batches(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_resident_pixels():
    source = resident(pixel_max=16)
    order = BatchOrder(0, COUNT, 4)
    stored = pixels(0, COUNT, 3, 8, 6, largest=16)
    for now, (images, _) in enumerate(source.training_batches(order, 0, 0, 4)):
        np.testing.assert_array_equal(images.numpy(), stored[order.indices(now)].astype(np.float32) / np.float32(16))


def test_resident_augmentation_is_crop_and_flip():
    order = BatchOrder(0, COUNT, 4)
    batches = resident(Crop(padding=2, flip=False)).training_batches(order, 8, 5, 7)
    stored = torch.from_numpy(pixels(0, COUNT, 3, 8, 6))
    for now, (images, _) in zip((5, 6), batches, strict=True):
        expected = crop_and_flip(stored[torch.from_numpy(order.indices(now))], 8, now, padding=2, flip=False)
        np.testing.assert_array_equal(images.numpy(), expected.numpy() / np.float32(255))


def test_resident_takes_arrays_that_cannot_be_written():
    images = pixels(0, COUNT, 3, 8, 6)
    images.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = ResidentImages(images, LABELS, 255, "cpu")
    assert torch.equal(next(source.batches(COUNT))[0], next(resident().batches(COUNT))[0])


def test_streamed_evaluation_is_resize_and_centre_crop(folder):
    for index, (images, _) in enumerate(streamed(folder, size=28).batches(1)):
        image = Image.open(folder / f"{index}.png")
        # The short side, 20 + index or 30 - index, becomes 28 * 256/224 = 32.
        short = min(image.size)
        image = image.resize([int(32 * side / short) for side in image.size], Image.Resampling.BILINEAR)
        left, top = (round((side - 28) / 2) for side in image.size)
        expected = np.asarray(image.crop((left, top, left + 28, top + 28))).transpose(2, 0, 1)
        np.testing.assert_array_equal(images[0].numpy(), expected / np.float32(255))


def test_streamed_training_crops_are_parts_of_the_scale_asked_for(tmp_path):
    # Red rises from left to right, green from top to bottom: the outermost colours of a crop tell its place and size.
    red, green = np.meshgrid(np.linspace(0, 255, 256), np.linspace(0, 255, 256))
    Image.fromarray(np.stack([red, green, 0 * red], axis=2).astype(np.uint8)).save(tmp_path / "0.png")
    source = StreamedImages(
        tmp_path, ["0.png"] * 300, np.zeros(300, np.int64), 3, 32, "cpu", ResizedCrop(scale=[0.2, 0.4], flip=True)
    )
    images = next(source.training_batches(BatchOrder(0, 300, "full"), 0, 0, 1))[0]
    # Between the centres of the first and the last of 32 pixels lie 31/32 of the crop.
    across, down = (
        (images[:, 0, 16, -1] - images[:, 0, 16, 0]) * 32 / 31,
        (images[:, 1, -1, 16] - images[:, 1, 0, 16]) * 32 / 31,
    )
    areas, ratios = across.abs() * down, across.abs() / down
    assert areas.min() > 0.2 - 0.02
    assert areas.max() < 0.4 + 0.02
    assert abs(areas.mean() - 0.3) < 0.02
    assert ratios.min() > 3 / 4 - 0.05
    assert ratios.max() < 4 / 3 + 0.05
    # Flipped ones fall from left to right: 150 of 300 expected, standard deviation 8.7.
    assert abs((across < 0).sum() - 150) < 4 * 8.7


def test_streamed_training_equals_torchvision_under_the_same_seed(folder, monkeypatch):
    class Drawn:
        def integers(self, _):
            return 42

    monkeypatch.setattr("goodsubnet.data.batches.random_generator", lambda *key: Drawn())
    transform = v2.Compose([v2.RandomResizedCrop(14, scale=(0.2, 1.0)), v2.RandomHorizontalFlip(), v2.PILToTensor()])
    torch.manual_seed(42)
    expected = transform(Image.open(folder / "4.png"))
    order = BatchOrder(0, COUNT, "full")
    assert torch.equal(next(streamed(folder).training_batches(order, 0, 0, 1))[0][4], expected / 255)


def test_streamed_draws_do_not_hang_on_the_batch(folder):
    alone, _ = next(streamed(folder).training_batches(BatchOrder(0, COUNT, "full"), 2, 0, 1))
    small = BatchOrder(7, COUNT, 3)
    images, _ = next(streamed(folder).training_batches(small, 2, 0, 1))
    assert torch.equal(images, alone[torch.from_numpy(small.indices(0))])


def test_streamed_without_augmentation_trains_on_what_it_evaluates(folder):
    source = streamed(folder, augmentation=None)
    assert same(source.training_batches(BatchOrder(0, COUNT, "full"), 0, 0, 1), source.batches(COUNT))


def test_streamed_grey(folder):
    source = streamed(folder, channels=1)
    assert next(source.batches(4))[0].shape == (4, 1, 14, 14)
    assert next(source.training_batches(BatchOrder(0, COUNT, 4), 0, 0, 1))[0].shape == (4, 1, 14, 14)


def test_number_of_readers_does_not_matter(folder):
    order = BatchOrder(0, COUNT, 4)
    here, there = streamed(folder), streamed(folder, readers=2)
    assert same(here.training_batches(order, 1, 2, 9), there.training_batches(order, 1, 2, 9))
    assert same(here.batches(3), there.batches(3))
    assert same([here.take([5, 1])], [there.take([5, 1])])
    assert multiprocessing.active_children() == []


def test_readers_end_where_the_iteration_is_abandoned(folder):
    batches = streamed(folder, readers=2).training_batches(BatchOrder(0, COUNT, 4), 0, 0, 1000)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    del batches
    gc.collect()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("readers", [0, 2])
def test_image_that_cannot_be_decoded_is_named(folder, tmp_path, readers):
    for name in files():
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "6.png").write_bytes((folder / "6.png").read_bytes()[:400])
    source = streamed(tmp_path, readers=readers)
    for read in (
        lambda: list(source.batches(4)),
        lambda: list(source.training_batches(BatchOrder(0, COUNT, 4), 0, 0, 3)),
        lambda: source.take([1, 6]),
    ):
        with pytest.raises(UserError) as error:
            read()
        assert str(tmp_path / "6.png") in str(error.value)
        assert "\n" not in str(error.value)
        # With the error at hand, and with it the frames that it came from.
        assert multiprocessing.active_children() == []


def test_readers_do_not_get_the_signals_of_the_group(folder):
    batches = streamed(folder, readers=2).training_batches(BatchOrder(0, COUNT, 4), 0, 0, 30)
    # The readers take turns.
    next(batches), next(batches)
    groups = {os.getpgid(worker.pid) for worker in multiprocessing.active_children()}
    assert len(groups) == 2
    assert os.getpgrp() not in groups
