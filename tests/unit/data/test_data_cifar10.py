"""CIFAR-10: verified, read by torchvision, downloaded only where absent. Tiny files stand in for the real ones."""

import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, utils

from goodsubnet.data.loading import load_source
from goodsubnet.data.sources import cifar10
from goodsubnet.errors import UserError
from goodsubnet.settings.datasets import source_settings

FOLDER = "cifar-10-batches-py"
BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
NAMES = [*BATCHES, "batches.meta"]
SETTINGS = source_settings({"source": "cifar10"})


def batch(number):
    """Two images as the original files hold them: a row of 3,072 bytes each, red, green, blue."""
    pixels = np.random.default_rng(number).integers(0, 256, (2, 3072), dtype=np.uint8)
    return {"data": pixels, "labels": [number, 9 - number], "filenames": ["a.png", "b.png"], "batch_label": "x"}


@pytest.fixture
def original():
    """The files' contents by name."""
    contents = {name: pickle.dumps(batch(number), protocol=2) for number, name in enumerate(BATCHES)}
    return {**contents, "batches.meta": pickle.dumps({"label_names": list(cifar10.CLASS_NAMES)}, protocol=2)}


@pytest.fixture
def archive(original):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, data in original.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


@pytest.fixture(autouse=True)
def digests(monkeypatch, original, archive):
    """Has torchvision take the small files for the original ones."""
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in original.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name in BATCHES[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive).hexdigest())


@pytest.fixture
def network(monkeypatch):
    """Replaces the network: what it delivers, or the error that it ends in; and the addresses asked for."""

    class Network:
        content: bytes | Exception = URLError("no network")
        asked: list[str]

        def retrieve(self, url, path, **_):
            self.asked.append(url)
            if isinstance(self.content, Exception):
                Path(path).write_bytes(b"the beginning of a file")
                raise self.content
            Path(path).write_bytes(self.content)

    network = Network()
    network.asked = []
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", network.retrieve)
    return network


@pytest.fixture
def data_dir(tmp_path, original):
    (tmp_path / FOLDER).mkdir()
    for name, content in original.items():
        (tmp_path / FOLDER / name).write_bytes(content)
    return tmp_path


def load(data_dir):
    return load_source(SETTINGS, str(data_dir))


def error_of(data_dir):
    with pytest.raises(UserError) as error:
        load(data_dir)
    assert "\n" not in str(error.value)
    return str(error.value)


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def check(data):
    for part, numbers in (("train", range(5)), ("test", [5])):
        rows = np.concatenate([batch(number)["data"] for number in numbers])
        images = data[f"{part}_images"]
        assert images.shape == (len(rows), 3, 32, 32)
        assert images.dtype == np.uint8
        # The published layout: "the first 1024 entries contain the red channel values, the next 1024 the green ...
        # stored in row-major order".
        assert all(
            images[index, channel, row, column] == rows[index, 1024 * channel + 32 * row + column]
            for index in range(len(rows))
            for channel, row, column in [(0, 0, 0), (0, 0, 31), (1, 2, 3), (2, 31, 0), (2, 31, 31)]
        )
        np.testing.assert_array_equal(images.reshape(len(rows), -1), rows)
        assert data[f"{part}_labels"].dtype == np.int64
        assert data[f"{part}_labels"].tolist() == [label for number in numbers for label in batch(number)["labels"]]
    assert data["class_names"] == list(SETTINGS.classes())
    assert data["pixel_max"] == 255


def test_load(data_dir, network):
    before = files_under(data_dir)
    check(load(data_dir))
    assert files_under(data_dir) == before
    assert network.asked == []


def test_what_is_known_before_it_is_loaded():
    assert list(SETTINGS.classes().values()) == [5000] * 10
    names = list(SETTINGS.classes())
    assert (names[0], names[3], names[9]) == ("airplane", "cat", "truck")
    assert len(names) == 10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [lambda old: old[:-1], lambda old: old + b"\0", lambda old: b""])
def test_damaged_file_is_named_and_not_replaced(data_dir, network, name, change):
    path = data_dir / FOLDER / name
    damaged = change(path.read_bytes())
    path.write_bytes(damaged)
    message = error_of(data_dir)
    assert str(path) in message
    assert "delete it" in message
    assert path.read_bytes() == damaged
    assert network.asked == []


@pytest.mark.parametrize("name", NAMES)
def test_pickle_of_another_md5_is_not_read(data_dir, network, name):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(data_dir / "harm"),)

    (data_dir / FOLDER / name).write_bytes(pickle.dumps(Harm()))
    error_of(data_dir)
    assert not (data_dir / "harm").exists()


def test_file_that_cannot_be_read_is_named(data_dir, network, monkeypatch):
    def refuse(path, md5=None):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(utils, "check_integrity", refuse)
    message = error_of(data_dir)
    assert str(data_dir / FOLDER / "data_batch_1") in message
    assert "Permission denied" in message


def test_missing_files_are_downloaded_and_the_others_left(data_dir, network, archive):
    network.content = archive
    kept = data_dir / FOLDER / "data_batch_1"
    before = kept.stat().st_mtime_ns
    for name in ("test_batch", "batches.meta"):
        (data_dir / FOLDER / name).unlink()
    check(load(data_dir))
    assert len(network.asked) == 1
    assert kept.stat().st_mtime_ns == before
    assert files_under(data_dir) == sorted(f"{FOLDER}/{name}" for name in NAMES)


def test_all_is_downloaded_into_a_new_folder(tmp_path, network, archive):
    network.content = archive
    check(load(tmp_path / "a" / "b"))
    assert files_under(tmp_path / "a" / "b") == sorted(f"{FOLDER}/{name}" for name in NAMES)


@pytest.mark.parametrize("content", [URLError("no network"), b"<html>not found</html>", OSError("no space left")])
def test_failed_download_leaves_nothing_and_says_what_to_do(tmp_path, network, content):
    network.content = content
    message = error_of(tmp_path)
    assert str(tmp_path / FOLDER) in message
    assert "cifar-10-python.tar.gz" in message
    assert files_under(tmp_path) == []


def test_intact_archive_is_used_before_the_network(tmp_path, network, archive):
    (tmp_path / CIFAR10.filename).write_bytes(archive)
    check(load(tmp_path))
    assert network.asked == []
    assert (tmp_path / CIFAR10.filename).read_bytes() == archive


def test_damaged_archive_is_passed_over_and_left(tmp_path, network, archive):
    network.content = archive
    (tmp_path / CIFAR10.filename).write_bytes(archive[:-10])
    check(load(tmp_path))
    assert len(network.asked) == 1
    assert (tmp_path / CIFAR10.filename).read_bytes() == archive[:-10]


def test_data_dir_that_cannot_be_made(tmp_path, network):
    (tmp_path / "data").write_text("a file where a folder is expected")
    assert "data_dir" in error_of(tmp_path / "data")
