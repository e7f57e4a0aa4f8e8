"""Distances of masks, given by the indices that they keep of so many candidates."""

from collections.abc import Callable, Collection


def hamming(one: Collection[int], other: Collection[int], candidates: int) -> float:
    """Share of the candidates that one keeps and the other does not: at most 2 min(p, 1 - p) if both keep a share p."""
    return len(set(one) ^ set(other)) / candidates


def corrected(one: Collection[int], other: Collection[int], candidates: int) -> float:
    """The Hamming distance over its mean for independent masks that keep as many: 1 means no more alike than by chance.

    That mean is p + q - 2 p q, of equal shares 2 p (1 - p). 0 where it is 0, as for two masks that keep everything.
    """
    p, q = (len(set(mask)) / candidates for mask in (one, other))
    expected = p + q - 2 * p * q
    return hamming(one, other, candidates) / expected if expected > 0 else 0.0


def jaccard(one: Collection[int], other: Collection[int], candidates: int) -> float:
    """1 - what both keep over what either keeps; 0 for two empty masks."""
    either = set(one) | set(other)
    return len(set(one) ^ set(other)) / len(either) if either else 0.0


DISTANCES: dict[str, Callable[[Collection[int], Collection[int], int], float]] = {
    "hamming": hamming,
    "corrected": corrected,
    "jaccard": jaccard,
}
