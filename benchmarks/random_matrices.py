"""How long Figures 2 and 3 take over the default grids, and what a QR of our own before the SVD would gain.

    python benchmarks/random_matrices.py

As the workflow does, each number of examples is a process of its own with one BLAS thread, two at a time.
"""

import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import numpy as np
from scipy.linalg import svdvals
from threadpoolctl import threadpool_limits

from goodsubnet.settings import RandomMatrices
from goodsubnet.theory.random_matrices import condition_numbers, smallest_singular_values

COMPARED = [(50, 16000), (200, 2000), (200, 16000), (1000, 1000), (1000, 2000), (1000, 5000)]
REPEATS = 5


def measure(figure: int, examples: int) -> tuple[int, int, float, float]:
    """The figure, the number of examples, and the seconds and processor seconds of its matrices."""
    grids = RandomMatrices()
    began, used = time.perf_counter(), time.process_time()
    with threadpool_limits(1):
        if figure == 2:
            grid = grids.smallest_singular_values
            smallest_singular_values(examples, grid.inputs, grids.widths_for(examples), grid.draws)
        else:
            condition_numbers(examples, grids.condition_numbers.widths, grids.condition_numbers.draws)
    return figure, examples, time.perf_counter() - began, time.process_time() - used


def compare(examples: int, width: int) -> None:
    """Time one matrix by the SVD of its tall orientation, as the package does, and others as ratios to it."""
    tall = np.random.default_rng(0).standard_normal((examples, width)).T
    ways = {
        "tall": lambda: svdvals(tall, check_finite=False),
        "wide": lambda: svdvals(tall.T, check_finite=False),
        "QR + SVD": lambda: svdvals(np.linalg.qr(tall, mode="r"), check_finite=False),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - began)
    base = statistics.median(times["tall"])
    ratios = ", ".join(f"{name} {statistics.median(times[name]) / base:.2f}" for name in ("wide", "QR + SVD"))
    print(
        f"{examples:5,} x {width:6,}: SVD of the tall orientation {base * 1e3:7.1f} ms; over it: {ratios}", flush=True
    )


def main() -> None:
    began = time.perf_counter()
    grids = RandomMatrices()
    jobs = [(3, examples) for examples in grids.condition_numbers.examples]
    jobs += [(2, examples) for examples in grids.smallest_singular_values.examples]
    # The longest first, or one process would wait for the other at the end.
    jobs.sort(key=lambda job: -job[1])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for done in as_completed([pool.submit(measure, *job) for job in jobs]):
            figure, examples, seconds, used = done.result()
            print(f"figure {figure}, m = {examples:5,}: {seconds:6.2f} s, {used:6.2f} s of a processor", flush=True)
    print(f"all of them, with start-up, two at a time: {time.perf_counter() - began:.1f} s", flush=True)
    with threadpool_limits(1):
        for examples, width in COMPARED:
            compare(examples, width)


if __name__ == "__main__":
    main()
