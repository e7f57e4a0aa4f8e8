"""Random streams, each a function of a key that names its purpose."""

import hashlib
import operator

import numpy as np


def random_generator(*key: str | int) -> np.random.Generator:
    """A numpy generator whose stream depends on `key` alone: the same in every process and on every machine.

    By convention the first part of the key says what the numbers are for, so that two purposes with the same
    seed have independent streams: random_generator("subset", "mnist", 5000, 0).

    The 128-bit key of Philox (a counter-based generator: Salmon et al., "Parallel Random Numbers: As Easy as
    1, 2, 3", 2011) is the beginning of the SHA-256 of the key parts' repr. Numpy integers count as Python's;
    anything but strings and integers is a TypeError, because not every repr is stable.
    """
    parts = tuple(part if isinstance(part, str) else operator.index(part) for part in key)
    digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
