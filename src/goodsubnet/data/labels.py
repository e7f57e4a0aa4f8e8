"""From the classes of a data set to the labels that a network learns."""

from collections.abc import Sequence

import numpy as np

from goodsubnet.settings.classes import check_groups


def group_labels(labels: np.ndarray, groups: Sequence[Sequence[str]] | None, class_names: Sequence[str]) -> np.ndarray:
    """Replaces each original class by the number of its group, 0 or 1.

    labels: original classes, indices into `class_names`, shape (count,). groups: two lists of class names
    that together hold every class exactly once, or None: every class is its own label. Returns int64 of the
    same shape. Raises UserError as `check_groups` does.
    """
    if groups is None:
        return labels.astype(np.int64)
    check_groups(groups, class_names)
    second = {str(name) for name in groups[1]}
    return np.array([int(name in second) for name in class_names], dtype=np.int64)[labels]
