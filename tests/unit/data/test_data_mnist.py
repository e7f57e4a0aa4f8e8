"""MNIST: found, verified, downloaded only where absent."""

import hashlib
import os
import shutil
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from goodsubnet.data.loading import load_source
from goodsubnet.data.sources import mnist
from goodsubnet.errors import UserError
from goodsubnet.settings.datasets import source_settings

SHARED = Path(__file__).parents[4] / "shared" / "data"
RAW = SHARED / "MNIST" / "raw"
FILE_NAMES = [name for name, _, _ in mnist.FILES.values()]
SETTINGS = source_settings({"source": "mnist"})

needs_mnist = pytest.mark.skipif(
    not all((RAW / name).is_file() for name in FILE_NAMES), reason="needs MNIST in ../shared/data"
)


@pytest.fixture
def downloads(monkeypatch):
    """Takes the network away; counts the attempts to use it."""
    from torchvision.datasets import MNIST

    attempts = []

    def fail(self):
        attempts.append(self.raw_folder)
        Path(self.raw_folder, "train-images-idx3-ubyte").write_bytes(b"the beginning of a file")
        raise URLError("no network")

    monkeypatch.setattr(MNIST, "download", fail)
    return attempts


@pytest.fixture
def linked(tmp_path):
    """A data_dir with links to the real files, of which a test replaces some."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILE_NAMES:
        (raw / name).symlink_to(RAW / name)
    return tmp_path


def replace(data_dir, name, change):
    path = data_dir / "MNIST" / "raw" / name
    content = bytearray(path.read_bytes())
    path.unlink()
    path.write_bytes(change(content))
    return path


def listing(folder):
    return sorted((str(path), path.lstat().st_mtime_ns) for path in [folder, *folder.rglob("*")])


@needs_mnist
def test_files_are_the_ones_whose_md5_is_published():
    published = {
        name: line.split()[0]
        for line in (SHARED / "README.md").read_text().splitlines()
        for name in FILE_NAMES
        if line.endswith(f"  {name}")
    }
    assert len(published) == 4
    for name, md5 in published.items():
        assert hashlib.md5((RAW / name).read_bytes()).hexdigest() == md5


@needs_mnist
def test_load(downloads, linked):
    before = listing(linked)
    data = load_source(SETTINGS, str(linked))
    assert downloads == []
    assert listing(linked) == before
    assert data["train_images"].shape == (60000, 1, 28, 28)
    assert data["test_images"].shape == (10000, 1, 28, 28)
    assert {data[key].dtype for key in ("train_images", "test_images")} == {np.dtype(np.uint8)}
    assert {data[key].dtype for key in ("train_labels", "test_labels")} == {np.dtype(np.int64)}
    assert data["test_labels"][:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(data["train_labels"]).tolist() == list(SETTINGS.classes().values())
    assert data["class_names"] == list(SETTINGS.classes()) == list("0123456789")
    assert data["pixel_max"] == data["train_images"].max() == 255


def flip_last(content):
    content[-1] ^= 1
    return content


def swap_header_dimensions(content):
    content[8:16] = (14).to_bytes(4, "big") + (56).to_bytes(4, "big")
    return content


@needs_mnist
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("t10k-images-idx3-ubyte", flip_last),
        ("t10k-labels-idx1-ubyte", flip_last),
        ("train-labels-idx1-ubyte", flip_last),
        ("t10k-images-idx3-ubyte", swap_header_dimensions),
        ("t10k-images-idx3-ubyte", lambda content: content[:-1]),
        ("t10k-images-idx3-ubyte", lambda content: content + b"\0"),
        ("train-labels-idx1-ubyte", lambda content: content[:1000]),
        ("train-labels-idx1-ubyte", lambda content: content[:6]),
        ("train-images-idx3-ubyte", lambda content: b""),
        ("t10k-labels-idx1-ubyte", lambda content: b"<html>not found</html>"),
    ],
)
def test_damaged_file_is_named(downloads, linked, name, change):
    path = replace(linked, name, change)
    with pytest.raises(UserError, match="delete it") as error:
        load_source(SETTINGS, str(linked))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert downloads == []


@needs_mnist
def test_images_and_labels_of_another_file_are_refused(downloads, linked):
    (linked / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    (linked / "MNIST" / "raw" / "train-labels-idx1-ubyte").symlink_to(RAW / "t10k-labels-idx1-ubyte")
    with pytest.raises(UserError, match="train-labels-idx1-ubyte"):
        load_source(SETTINGS, str(linked))


def test_failed_download_says_where_files_are_expected(downloads, tmp_path):
    with pytest.raises(UserError) as error:
        load_source(SETTINGS, str(tmp_path / "absent"))
    message = str(error.value)
    assert str(tmp_path / "absent" / "MNIST" / "raw") in message
    assert all(name in message for name in FILE_NAMES)
    assert "no network" in message
    assert "\n" not in message
    assert len(downloads) == 1
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_data_dir_that_cannot_be_made(downloads, tmp_path):
    (tmp_path / "data").write_text("a file where a folder is expected")
    with pytest.raises(UserError, match="data_dir"):
        load_source(SETTINGS, str(tmp_path / "data"))
    assert downloads == []


@needs_mnist
def test_download_fetches_what_is_missing_and_keeps_the_rest(monkeypatch, linked):
    from torchvision.datasets import MNIST

    def fetch(self):
        for name in FILE_NAMES:
            os.symlink(RAW / name, Path(self.raw_folder, name))

    monkeypatch.setattr(MNIST, "download", fetch)
    raw = linked / "MNIST" / "raw"
    (raw / "t10k-labels-idx1-ubyte").unlink()
    kept = (raw / "train-images-idx3-ubyte").lstat().st_ino
    data = load_source(SETTINGS, str(linked))
    assert len(data["test_labels"]) == 10000
    assert sorted(path.name for path in raw.iterdir()) == sorted(FILE_NAMES)
    assert (raw / "train-images-idx3-ubyte").lstat().st_ino == kept
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]


@needs_mnist
def test_archives_are_offered_to_torchvision(monkeypatch, tmp_path):
    """Their unpacking is torchvision's own; here it only has to find them."""
    from torchvision.datasets import MNIST

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILE_NAMES:
        (raw / f"{name}.gz").write_bytes(b"")

    def unpack(self):
        for archive in Path(self.raw_folder).glob("*.gz"):
            shutil.copy(RAW / archive.stem, archive.with_suffix(""))

    monkeypatch.setattr(MNIST, "download", unpack)
    assert len(load_source(SETTINGS, str(tmp_path))["train_labels"]) == 60000
