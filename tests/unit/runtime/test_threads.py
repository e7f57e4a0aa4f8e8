"""Threads: limits hold within their block, and nothing of a user's is changed outside."""

import subprocess
import sys

import numba
import pytest

from goodsubnet.runtime.threads import in_threads, limited_threads


def test_a_limit_ends_with_its_block() -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with limited_threads(2), limited_threads(1):
            assert numba.get_num_threads() == 1
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)


def test_what_a_user_has_set_stays_where_our_kernels_are_loaded() -> None:
    code = (
        "import numba; numba.set_num_threads(1); import goodsubnet.networks.passes; print(numba.get_num_threads());"
        "from goodsubnet.runtime.threads import limited_threads\nwith limited_threads(2): pass\n"
        "print(numba.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_numba_that_is_loaded_in_a_block_is_limited_there() -> None:
    code = (
        "from goodsubnet.runtime.threads import limited_threads\n"
        "with limited_threads(1):\n    import goodsubnet.networks.passes, numba; print(numba.get_num_threads())\n"
        "print(numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "True"]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_ranges_cover_everything_once(threads: int) -> None:
    seen: list[int] = []
    with limited_threads(threads):
        in_threads(lambda first, stop, more: seen.extend(range(first + more, stop + more)), 4, 10)
    assert sorted(seen) == [10, 11, 12, 13]
