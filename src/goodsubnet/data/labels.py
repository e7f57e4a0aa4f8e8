"""From the classes of a data set to the labels that a network learns."""

from collections.abc import Sequence

import numpy as np

from ..errors import UserError


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


def check_groups(groups: Sequence[Sequence[str]], class_names: Sequence[str]) -> None:
    """Raises UserError unless `groups` are two lists that together hold every class exactly once.

    Names are compared as text, because a configuration may write the class "0" as the number 0.
    """
    if len(groups) != 2 or not all(groups):
        raise UserError(f"groups: {len(groups)} given; give two lists of class names, neither of them empty.")
    grouped = [str(name) for group in groups for name in group]
    for name in grouped:
        if name not in class_names:
            raise UserError(f"groups: {name!r} is not a class; the classes are {', '.join(map(repr, class_names))}.")
        if grouped.count(name) > 1:
            raise UserError(f"groups: class {name!r} is named {grouped.count(name)} times; name it once.")
    for name in class_names:
        if name not in grouped:
            raise UserError(f"groups: class {name!r} is in neither group; add it to one.")
