"""Compiled once per machine: numba with a cache of what it compiled, or without one where nothing can be kept."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from goodsubnet.runtime.threads import limit_numba

F = TypeVar("F", bound=Callable[..., object])

if TYPE_CHECKING:
    # numba itself has no types.
    def prange(stop: int) -> range: ...
else:
    from numba import prange

__all__ = ["compiled", "prange"]

limit_numba()
_told = False


def compiled(**options: object) -> Callable[[F], F]:
    """`numba.njit` with a cache beside the module, else in the user's folder or NUMBA_CACHE_DIR.

    numba refuses where none of these can be written. Then the function is compiled in each process, and a line on
    stderr says so.
    """

    def decorate(function: F) -> F:
        import numba

        global _told
        try:
            kernel: F = numba.njit(cache=True, **options)(function)
        except RuntimeError:
            if not _told:
                _told = True
                print(
                    "no folder can be written in which to keep compiled code, so that every process compiles it again "
                    "(10 to 20 s); set NUMBA_CACHE_DIR to one that can",
                    file=sys.stderr,
                )
            kernel = numba.njit(**options)(function)
        return kernel

    return decorate
