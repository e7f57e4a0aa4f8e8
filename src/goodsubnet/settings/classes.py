"""Whether classes can be grouped, and sub-datasets be drawn, as the configuration says; before any data are read."""

from collections.abc import Sequence

from goodsubnet.errors import UserError

SHARES = ("equal", "data")


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


def check_subset_size(
    class_counts: Sequence[int], examples: int, shares: str, class_names: Sequence[str] | None = None
) -> None:
    """Raises UserError where data with these counts of each class has no such subset. Needs no data."""
    if shares not in SHARES:
        raise UserError(f"shares: {shares!r} is not known; choose one of {', '.join(SHARES)}.")
    if shares == "data":
        total = sum(class_counts)
        if not 1 <= examples <= total:
            nearest = 1 if examples < 1 else total
            raise UserError(
                f"examples: {examples} asked, but the training data have {total}; nearest allowed: {nearest}."
            )
        return
    classes = len(class_counts)
    smallest = min(range(classes), key=lambda label: class_counts[label])
    largest = classes * class_counts[smallest]
    name = smallest if class_names is None else class_names[smallest]
    if largest == 0:
        raise UserError(
            f"examples: {examples} asked with equal shares of {classes} classes, but class {name} has no"
            " training examples; use shares: data, or remove the class."
        )
    if 1 <= examples <= largest and examples % classes == 0:
        return
    below = examples // classes * classes
    allowed = sorted({min(max(value, classes), largest) for value in (below, below + classes)})
    reason = (
        f"the smallest class ({name}) has only {class_counts[smallest]} training examples"
        if examples > largest
        else f"equal shares need a positive multiple of {classes}"
    )
    raise UserError(
        f"examples: {examples} asked with equal shares of {classes} classes, but {reason};"
        f" nearest allowed: {' or '.join(map(str, allowed))}."
    )
