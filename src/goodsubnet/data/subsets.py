"""Sub-datasets: which training examples a trial may see.

Sizes are drawn independently of each other: a larger subset does not contain the smaller one of the same
seed. So results at different sizes are independent samples, and adding a size never depends on the existing sizes.
"""

from collections.abc import Sequence

import numpy as np

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.settings.classes import check_subset_size


def draw_subset(labels: np.ndarray, examples: int, seed: int, shares: str = "equal", *, name: str) -> np.ndarray:
    """Draws `examples` indices into `labels`, uniformly without replacement within each class.

    labels: original classes 0 .. K-1 (not groups of them), shape (count,). shares: "equal" takes examples / K
    of each class, "data" as many as the class has in the data (`class_shares`). The draw is a function of
    (name, examples, seed), where `name` is the data set's.

    Returns int64 of shape (examples,), sorted: shuffling is the task of the batch order. Raises UserError
    where the data cannot give such a subset.
    """
    quotas = class_shares(np.bincount(labels).tolist(), examples, shares)
    generator = random_generator("subset", name, examples, seed)
    drawn = [
        generator.choice(np.flatnonzero(labels == label), quota, replace=False) for label, quota in enumerate(quotas)
    ]
    return np.sort(np.concatenate(drawn))


def hold_out(
    labels: np.ndarray, indices: np.ndarray, share: float, seed: int, *, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Splits a sub-dataset into what is trained on and what is held out for validation, both sorted int64.

    labels: original classes, shape (count,). indices: the sub-dataset, as `draw_subset` gives it. Of each class the
    rounded `share` of its examples is held out; which ones is a function of (name, number of examples, seed). Raises
    UserError where a class would have no example left to train on, or none of any class is held out.
    """
    if share == 0:
        return indices, indices[:0]
    generator = random_generator("validation", name, len(indices), seed)
    held_out = []
    for label in np.unique(labels[indices]):
        members = indices[labels[indices] == label]
        count = round(share * len(members))
        if count == len(members):
            raise UserError(
                f"validation_share: {share} of the {len(members)} examples of class {label} leaves none to train on; "
                "lower it, or take more examples"
            )
        held_out.append(generator.choice(members, count, replace=False))
    validation = np.sort(np.concatenate(held_out))
    if not len(validation):
        raise UserError(f"validation_share: {share} of {len(indices)} examples holds none out; raise it")
    return np.setdiff1d(indices, validation), validation


def class_shares(class_counts: Sequence[int], examples: int, shares: str) -> list[int]:
    """How many examples of each class a subset has. Raises UserError as `check_subset_size` does.

    "data": examples * count / total, rounded by largest remainders, ties to the lowest class, so that the
    numbers add up to `examples`; a rare class may get none.
    """
    check_subset_size(class_counts, examples, shares)
    if shares == "equal":
        return [examples // len(class_counts)] * len(class_counts)
    total = sum(class_counts)
    quotas = [examples * count // total for count in class_counts]
    remainders = [examples * count % total for count in class_counts]
    by_remainder = sorted(range(len(quotas)), key=lambda label: -remainders[label])
    for label in by_remainder[: examples - sum(quotas)]:
        quotas[label] += 1
    return quotas
