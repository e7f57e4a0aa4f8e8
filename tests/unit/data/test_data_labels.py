"""Classes into groups."""

import numpy as np
import pytest

from goodsubnet.data.labels import group_labels
from goodsubnet.errors import UserError
from goodsubnet.settings.classes import check_groups

NAMES = ["ant", "bee", "cat"]
LABELS = np.array([2, 0, 1, 1, 2])


def test_groups_become_0_and_1():
    grouped = group_labels(LABELS, [["cat", "ant"], ["bee"]], NAMES)
    assert grouped.tolist() == [0, 0, 1, 1, 0]
    assert grouped.dtype == np.int64


def test_no_groups_keep_the_classes():
    grouped = group_labels(LABELS, None, NAMES)
    assert grouped.tolist() == LABELS.tolist()
    assert grouped.dtype == np.int64


def test_numbers_in_a_configuration_name_classes():
    assert group_labels(np.array([0, 1, 2]), [[2], ["0", 1]], ["0", "1", "2"]).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ([["ant", "bee"], ["dog", "cat"]], "'dog' is not a class"),
        ([["ant"], ["bee"]], "'cat' is in neither"),
        ([["ant", "bee"], ["cat", "ant"]], "'ant' is named 2 times"),
        ([["ant", "ant"], ["cat", "bee"]], "'ant' is named 2 times"),
        ([["ant", "bee", "cat"], []], "neither of them empty"),
        ([["ant"], ["bee"], ["cat"]], "two lists"),
        ([], "two lists"),
    ],
)
def test_wrong_groups(groups, named):
    with pytest.raises(UserError, match=named):
        check_groups(groups, NAMES)
    with pytest.raises(UserError, match="groups"):
        group_labels(LABELS, groups, NAMES)
