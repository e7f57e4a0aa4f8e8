"""A user's own images."""

import warnings

import numpy as np
import pytest
from PIL import Image

from goodsubnet.data.sources import load_source
from goodsubnet.errors import UserError


def pixels(seed, height=6, width=5, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def images(tmp_path):
    """Two classes, two training images and one test image each, all 6 x 5 RGB, stored without loss."""
    for label, name in enumerate(["ant", "bee"]):
        for index in range(2):
            save(tmp_path / "images" / "train" / name / f"{index}.png", pixels(10 * label + index))
        save(tmp_path / "images" / "test" / name / "0.png", pixels(10 * label + 5))
    return tmp_path / "images"


def load(images, **settings):
    settings = {"source": "folder", "path": str(images), "channels": 3, "size": None, **settings}
    return load_source(settings, "no-such-folder")


def error_of(images, **settings):
    with pytest.raises(UserError) as error:
        load(images, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pixels_labels_and_order(images):
    data = load(images)
    assert data["class_names"] == ["ant", "bee"]
    assert data["train_labels"].tolist() == [0, 0, 1, 1]
    assert data["test_labels"].tolist() == [0, 1]
    assert data["train_labels"].dtype == np.int64
    assert data["pixel_max"] == 255
    expected = np.stack([pixels(seed).transpose(2, 0, 1) for seed in (0, 1, 10, 11)])
    assert data["train_images"].dtype == np.uint8
    np.testing.assert_array_equal(data["train_images"], expected)
    np.testing.assert_array_equal(data["test_images"][1], pixels(15).transpose(2, 0, 1))


def test_path_relative_to_data_dir(images):
    settings = {"source": "folder", "path": images.name, "channels": 3, "size": None}
    data = load_source(settings, str(images.parent))
    np.testing.assert_array_equal(data["train_images"], load(images)["train_images"])


def test_grey(images):
    data = load(images, channels=1)
    assert data["train_images"].shape == (4, 1, 6, 5)
    expected = np.asarray(Image.fromarray(pixels(0)).convert("L"))
    np.testing.assert_array_equal(data["train_images"][0, 0], expected)


def test_grey_image_as_rgb(images):
    grey = pixels(99, channels=1)
    save(images / "train" / "ant" / "0.png", grey)
    np.testing.assert_array_equal(load(images)["train_images"][0], np.stack([grey] * 3))


def test_size_is_height_and_width(images):
    save(images / "train" / "bee" / "wide.jpg", pixels(3, height=4, width=40))
    data = load(images, size=[8, 12])
    assert data["train_images"].shape == (5, 3, 8, 12)


def test_image_of_the_right_size_is_not_resampled(images):
    np.testing.assert_array_equal(load(images, size=[6, 5])["train_images"], load(images)["train_images"])


def test_first_differing_size_is_named(images):
    save(images / "train" / "bee" / "0.png", pixels(3, height=7))
    save(images / "test" / "ant" / "0.png", pixels(3, height=8))
    message = error_of(images)
    assert str(images / "train" / "bee" / "0.png") in message
    assert "7 x 5" in message
    assert "6 x 5" in message
    assert "size" in message


def test_size_that_differs_in_test_only(images):
    save(images / "test" / "ant" / "0.png", pixels(3, height=8))
    assert str(images / "test" / "ant" / "0.png") in error_of(images)


@pytest.mark.parametrize("extension", ["png", "jpg", "jpeg", "bmp", "gif", "webp", "ppm", "tif", "tiff", "PNG", "JPG"])
def test_formats(images, extension):
    save(images / "train" / "ant" / f"2.{extension}", pixels(3))
    assert load(images)["train_images"].shape == (5, 3, 6, 5)


def test_other_files_are_passed_over(images):
    (images / "train" / "ant" / ".DS_Store").write_bytes(b"x")
    (images / "train" / "ant" / "notes.txt").write_text("x")
    (images / "train" / "ant" / ".hidden").mkdir()
    (images / "train" / ".cache").mkdir()
    (images / "train" / "README.md").write_text("x")
    assert len(load(images)["train_images"]) == 4


def test_hidden_file_named_like_an_image_is_not_passed_over(images):
    (images / "train" / "ant" / "._0.png").write_bytes(b"x")
    assert "._0.png" in error_of(images)


def test_odd_names(tmp_path):
    names = ["a b", "it's", 'say "x"', "naïve", "日本", "{seed}", "new\nline", "50%"]
    for name in names:
        for split in ("train", "test"):
            save(tmp_path / "my images" / split / name / f"{name} 1.png", pixels(1))
    data = load(tmp_path / "my images")
    assert data["class_names"] == sorted(names)
    (tmp_path / "my images" / "train" / "new\nline" / "broken.png").write_bytes(b"x")
    assert "new\\nline" in error_of(tmp_path / "my images")


def test_missing_folder(images, tmp_path):
    message = error_of(tmp_path / "absent")
    assert str(tmp_path / "absent" / "train") in message
    (images / "test").rename(images / "testing")
    assert str(images / "test") in error_of(images)


def test_no_classes(images):
    for path in sorted((images / "train").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert "no class folders" in error_of(images)


def test_empty_class(images):
    (images / "test" / "bee" / "0.png").rename(images / "test" / "bee" / "0.txt")
    message = error_of(images)
    assert str(images / "test" / "bee") in message
    assert "no images" in message


@pytest.mark.parametrize(("here", "there"), [("train", "test"), ("test", "train")])
def test_class_on_one_side_only(images, here, there):
    save(images / here / "cat" / "0.png", pixels(1))
    assert f"'cat' is in {here} but not in {there}" in error_of(images)


def test_folder_inside_a_class(images):
    save(images / "train" / "ant" / "more" / "0.png", pixels(1))
    assert str(images / "train" / "ant" / "more") in error_of(images)


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "gif", "webp", "ppm", "tif"])
@pytest.mark.parametrize("kept", [0, 5, 0.6])
def test_truncated_image_is_named(images, extension, kept):
    path = save(images / "test" / "bee" / f"1.{extension}", pixels(3, 40, 50))
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    message = error_of(images, size=[6, 5])
    assert str(path) in message
    assert "cannot be read" in message


def test_broken_link_is_named(images):
    (images / "train" / "ant" / "2.png").symlink_to("nowhere.png")
    assert "2.png" in error_of(images)


@pytest.mark.parametrize(("dtype", "extension"), [(np.uint16, "png"), (np.int32, "tif"), (np.float32, "tif")])
def test_deep_images_are_refused(images, dtype, extension):
    path = save(images / "train" / "ant" / f"2.{extension}", np.full((6, 5), 1000, dtype=dtype))
    assert "8 bits" in error_of(images)
    assert str(path) in error_of(images)


def test_transparent_palette_does_not_warn(images):
    image = Image.fromarray(pixels(3)).quantize(16)
    image.save(images / "train" / "ant" / "2.png", transparency=bytes(range(16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(images)["train_images"][2]
    np.testing.assert_array_equal(loaded, np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def test_channels(images):
    assert "channels" in error_of(images, channels=4)


def test_too_large_for_the_memory(images, monkeypatch):
    def refuse(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(np, "empty", refuse)
    assert "memory" in error_of(images)
