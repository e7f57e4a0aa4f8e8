"""How many threads compute: those of BLAS, numba's, whether it is loaded already or not, and our own."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_limits: list[int] = []


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """So many at most, within the block."""
    before = sys.modules["numba"].get_num_threads() if "numba" in sys.modules else None
    _limits.append(threads)
    try:
        with threadpool_limits(threads):
            limit_numba()
            yield
    finally:
        _limits.pop()
        if _limits:
            limit_numba()
        elif "numba" in sys.modules:
            numba = sys.modules["numba"]
            numba.set_num_threads(numba.config.NUMBA_NUM_THREADS if before is None else before)


def limit_numba() -> None:
    """Bring numba's number in line with the block; called when numba is loaded, too. Outside a block it stays."""
    if _limits and "numba" in sys.modules:
        numba = sys.modules["numba"]
        numba.set_num_threads(max(1, min(_limits[-1], numba.config.NUMBA_NUM_THREADS)))


def in_threads(work: Callable[..., None], count: int, *arguments: object) -> None:
    """work(first, stop, *arguments) for ranges that cover 0 to count, one in each thread. It must release the lock."""
    threads = max(1, min(_limits[-1] if _limits else len(os.sched_getaffinity(0)), count))
    if threads == 1:
        work(0, count, *arguments)
        return
    ends = [count * thread // threads for thread in range(threads + 1)]
    # All are waited for, and the error of one is raised.
    list(_pool(threads).map(lambda first, stop: work(first, stop, *arguments), ends[:-1], ends[1:]))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
