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
    _limits.append(threads)
    try:
        with threadpool_limits(threads):
            limit_numba()
            yield
    finally:
        _limits.pop()
        limit_numba()


def limit_numba() -> None:
    """Bring numba's number in line with the block; called when numba is loaded, too."""
    if "numba" not in sys.modules:
        return
    import numba

    most: int = numba.config.NUMBA_NUM_THREADS
    numba.set_num_threads(max(1, min(_limits[-1], most)) if _limits else most)


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
