"""A user's own images."""

import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from goodsubnet.data.files import pack, unpack
from goodsubnet.data.loading import load_source
from goodsubnet.data.sources.folder import load_folder, train_class_counts
from goodsubnet.errors import UserError
from goodsubnet.settings.datasets import source_settings
from goodsubnet.settings.faults import explain


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


def settings_of(path, **changed):
    # What is cut out of images in files is said, and read elsewhere.
    size = [6, 6] if changed.get("storage") == "files" else None
    return source_settings({"source": "folder", "path": str(path), "channels": 3, "size": size, **changed})


def load(images, **settings):
    return load_source(settings_of(images, **settings), "no-such-folder")


def error_of(images, **settings):
    with pytest.raises(UserError) as error:
        load(images, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def refusal_of(images, **settings):
    """What is said of settings that are wrong without a look at the images."""
    with pytest.raises(ValidationError) as error:
        settings_of(images, **settings)
    (line,) = explain(error.value)
    assert "\n" not in line
    return line


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
    data = load_source(settings_of(images.name), str(images.parent))
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


@pytest.mark.parametrize("storage", ["memory", "files"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_no_classes(images, split, storage):
    for path in sorted((images / split).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    save(images / split / "0.png", pixels(0))
    message = error_of(images, storage=storage)
    assert str(images / split) in message
    assert "no class folders" in message


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
    assert refusal_of(images, channels=4) == "channels: input should be 1 or 3, got 4"
    with pytest.raises(UserError, match="channels"):
        load_folder(str(images), "no-such-folder", channels=4)


def test_too_large_for_the_memory(images, monkeypatch):
    def refuse(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(np, "empty", refuse)
    assert "memory" in error_of(images)


@pytest.mark.parametrize("storage", ["memory", "files"])
def test_val_serves_where_there_is_no_test(images, storage):
    expected = load(images, storage=storage)
    (images / "test").rename(images / "val")
    data = load(images, storage=storage)
    assert data["test_labels"].tolist() == expected["test_labels"].tolist()
    assert train_class_counts(str(images), ".") == {"ant": 2, "bee": 2}
    if storage == "memory":
        np.testing.assert_array_equal(data["test_images"], expected["test_images"])
    else:
        assert data["test_files"] == ["val/ant/0.png", "val/bee/0.png"]
    (images / "val" / "bee").rename(images / "val" / "cat")
    assert "'bee' is in train but not in val" in error_of(images, storage=storage)


def test_val_is_passed_over_where_there_is_a_test(images):
    save(images / "val" / "cat" / "0.png", pixels(1))
    assert len(load(images)["test_images"]) == 2


def test_empty_class_of_val(images):
    (images / "test").rename(images / "val")
    (images / "val" / "bee" / "0.png").unlink()
    message = error_of(images)
    assert str(images / "val" / "bee") in message
    assert "from train and val" in message


def test_files_are_listed_in_the_order_of_the_images(images):
    save(images / "train" / "bee" / "00.JPEG", pixels(3, height=40, width=30))
    data = load(images, storage="files")
    resized = load(images, size=[6, 5])
    assert data.keys() == {
        "root", "train_files", "train_labels", "test_files", "test_labels", "class_names", "pixel_max"
    }  # fmt: skip
    assert data["root"] == str(images)
    assert data["train_files"] == [
        "train/ant/0.png",
        "train/ant/1.png",
        "train/bee/0.png",
        "train/bee/00.JPEG",
        "train/bee/1.png",
    ]
    assert data["test_files"] == ["test/ant/0.png", "test/bee/0.png"]
    for key in ("train_labels", "test_labels"):
        assert data[key].dtype == np.int64
        assert data[key].tolist() == resized[key].tolist()
    assert data["class_names"] == resized["class_names"]
    assert data["pixel_max"] == 255
    for file, image in zip(data["train_files"], resized["train_images"], strict=True):
        if file.endswith(".png"):
            np.testing.assert_array_equal(np.asarray(Image.open(images / file)).transpose(2, 0, 1), image)


def test_root_of_a_path_relative_to_data_dir(images):
    data = load_source(settings_of(images.name, storage="files"), str(images.parent))
    assert data["root"] == str(images)


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "gif", "webp", "ppm", "tif"])
@pytest.mark.parametrize("kept", [0, 5])
def test_file_without_a_header_is_named(images, extension, kept):
    path = save(images / "test" / "bee" / f"1.{extension}", pixels(3, 40, 50))
    path.write_bytes(path.read_bytes()[:kept])
    message = error_of(images, storage="files")
    assert str(path) in message
    assert "cannot be read" in message


def test_first_of_the_files_without_a_header_is_named(images):
    broken = [images / "train" / name / f"{index}.png" for name in ("ant", "bee") for index in range(20, 40)]
    for path in broken:
        path.write_bytes(b"x")
    assert all(str(broken[0]) in error_of(images, storage="files") for _ in range(5))


def test_deep_images_are_refused_by_their_header(images):
    path = save(images / "train" / "ant" / "2.png", np.full((6, 5), 1000, dtype=np.uint16))
    message = error_of(images, storage="files")
    assert "8 bits" in message
    assert str(path) in message


def test_headers_are_read_and_not_the_images(images, monkeypatch):
    def refuse(self):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    assert len(load(images, storage="files")["train_files"]) == 4


def test_unknown_storage(images):
    assert refusal_of(images, storage="disk") == "storage: input should be 'memory' or 'files', got 'disk'"


# The names that a file can have on a POSIX system: any bytes but these two.
@settings(deadline=None)
@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name and b"/" not in name)))
def test_names_survive_packing(names):
    names = [os.fsdecode(name) for name in names]
    array = pack(names)
    assert array.dtype == np.uint8
    assert array.ndim == 1
    assert unpack(array) == names


def test_packed_names_are_json():
    assert pack(["a/é.png", "b"]).tobytes() == b'["a/\\u00e9.png", "b"]'
