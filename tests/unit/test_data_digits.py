"""The digits of scikit-learn, and what is known of sources before they are loaded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from goodsubnet.data.known import known_class_names, known_train_class_counts
from goodsubnet.data.sources import load_source
from goodsubnet.errors import UserError

SRC = Path(__file__).parents[2] / "src"


def load(**settings):
    return load_source({"source": "digits", **settings}, "no-such-folder")


def test_load():
    data = load()
    assert data["train_images"].shape == (1438, 1, 8, 8)
    assert data["test_images"].shape == (359, 1, 8, 8)
    assert data["train_images"].dtype == np.uint8
    assert data["train_labels"].dtype == np.int64
    assert data["train_images"].max() == data["pixel_max"] == 16
    assert data["class_names"] == known_class_names({"source": "digits"}) == list("0123456789")


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
    assert counts == known_train_class_counts({"source": "digits", "test_share": test_share})
    all_counts = np.bincount(sklearn.datasets.load_digits().target)
    assert np.abs(np.array(counts) - (1 - test_share) * all_counts).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("test_share", [-0.1, 0, 0.001, 0.999, 1, 2, float("nan")])
def test_impossible_share(test_share):
    with pytest.raises(UserError, match="test_share"):
        load(test_share=test_share)
    with pytest.raises(UserError, match="test_share"):
        known_train_class_counts({"source": "digits", "test_share": test_share})


def test_altered_data_are_refused(monkeypatch):
    bunch = sklearn.datasets.load_digits()
    bunch.images[5, 3, 3] = 15 - bunch.images[5, 3, 3]
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: bunch)
    with pytest.raises(UserError, match="scikit-learn"):
        load()


@pytest.mark.parametrize("function", [known_train_class_counts, known_class_names])
def test_folder_is_unknown_before_it_is_loaded(function):
    assert function({"source": "folder", "path": "x"}) is None


@pytest.mark.parametrize(
    "function", [known_train_class_counts, known_class_names, lambda settings: load_source(settings, ".")]
)
def test_unknown_source(function):
    with pytest.raises(UserError, match=r"'cifar'.*mnist, digits, folder"):
        function({"source": "cifar"})


def test_knowing_imports_nothing_heavy():
    program = (
        "import sys; from goodsubnet.data import known, labels, order, sources, subsets\n"
        "known.known_train_class_counts({'source': 'mnist'})\n"
        "known.known_train_class_counts({'source': 'digits'})\n"
        "print(*{'torch', 'torchvision', 'sklearn', 'PIL', 'pandas', 'scipy'} & set(sys.modules))"
    )
    environ = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
