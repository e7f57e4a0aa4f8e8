"""The digits of scikit-learn, and what is known of sources before they are loaded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from pydantic import ValidationError

from goodsubnet.data.loading import load_source
from goodsubnet.data.sources import digits
from goodsubnet.errors import UserError
from goodsubnet.settings.datasets import SourceSettings, source_settings

SRC = Path(__file__).parents[3] / "src"


def settings_of(**settings):
    return source_settings({"source": "digits", **settings})


def load(**settings):
    return load_source(settings_of(**settings), "no-such-folder")


def test_load():
    data = load()
    assert data["train_images"].shape == (1438, 1, 8, 8)
    assert data["test_images"].shape == (359, 1, 8, 8)
    assert data["train_images"].dtype == np.uint8
    assert data["train_labels"].dtype == np.int64
    assert data["train_images"].max() == data["pixel_max"] == 16
    assert data["class_names"] == list(settings_of().classes()) == list("0123456789")


def test_split_is_a_partition():
    data = load()
    original = sklearn.datasets.load_digits()
    both = np.concatenate([data["train_images"], data["test_images"]]).reshape(1797, 64)
    labels = np.concatenate([data["train_labels"], data["test_labels"]])
    rows = np.column_stack([both, labels])
    expected = np.column_stack([original.data, original.target])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, expected))


def test_split_does_not_change():
    """Recorded once: another split would silently change every result on this data set."""
    labels = load()["test_labels"]
    assert labels[:12].tolist() == [3, 4, 6, 9, 5, 7, 5, 5, 6, 0, 7, 8]


@pytest.mark.parametrize("test_share", [0.1, 0.2, 0.25, 0.5, 0.9])
def test_known_counts_are_those_of_the_data(test_share):
    counts = np.bincount(load(test_share=test_share)["train_labels"]).tolist()
    assert counts == list(settings_of(test_share=test_share).classes().values())
    all_counts = np.bincount(sklearn.datasets.load_digits().target)
    assert np.abs(np.array(counts) - (1 - test_share) * all_counts).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("test_share", [-0.1, 0, 0.001, 0.999, 1, 2, float("nan")])
def test_impossible_share(test_share):
    for refused in (digits.load_digits, digits.train_class_counts):
        with pytest.raises(UserError, match="test_share"):
            refused(test_share)
    # Some are refused as settings, some by the numbers of images.
    for asked in (load, lambda test_share: settings_of(test_share=test_share).classes()):
        with pytest.raises((UserError, ValidationError), match="test_share"):
            asked(test_share=test_share)


def test_altered_data_are_refused(monkeypatch):
    bunch = sklearn.datasets.load_digits()
    bunch.images[5, 3, 3] = 15 - bunch.images[5, 3, 3]
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: bunch)
    with pytest.raises(UserError, match="scikit-learn"):
        load()


def test_folder_is_unknown_before_it_is_loaded():
    assert source_settings({"source": "folder", "path": "x"}).classes() is None


def test_unknown_source():
    said = r"source 'cifar' is not one of cifar10, digits, folder, mnist$"
    with pytest.raises(ValueError, match=said) as error:
        source_settings({"source": "cifar"})
    # Plain words, not pydantic's.
    assert type(error.value) is ValueError
    with pytest.raises(UserError, match=said):
        load_source(SourceSettings(source="cifar"), ".")


def test_knowing_imports_nothing_heavy():
    program = (
        "import sys; from goodsubnet.data import labels, loading, order, subsets\n"
        "from goodsubnet.settings.datasets import source_settings\n"
        "source_settings({'source': 'mnist'}).classes()\n"
        "source_settings({'source': 'digits'}).classes()\n"
        "print(*{'torch', 'torchvision', 'sklearn', 'PIL', 'pandas', 'scipy'} & set(sys.modules))"
    )
    environ = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
