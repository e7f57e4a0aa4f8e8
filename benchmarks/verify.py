"""How long `goodsubnet verify` takes, over merely reading the same files and over hashing them.

    python benchmarks/verify.py [--results FOLDER --figure PATH]

Two chains: one of large checkpoints (24 of 32 MB) and one of very many small files (the paper's Figure 1, its 891
cells with 1 kB each); both made by hand, with the sidecars of real jobs. With --results a run of yours is measured.
The files are in memory (page cache) each time, so the disk does not count. Repetitions alternate, medians are shown.
Verify is measured in one process with the others, walk, words and today's code included; then as a command, with the
start of Python.
"""

import argparse
import contextlib
import functools
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import goodsubnet.pruning.methods.greedy
import goodsubnet.stages.two_layer.prune  # noqa: F401, the code that the sidecars name
from goodsubnet.runtime import artifacts, fingerprint
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.verification import Lineage, changed_sources, normal, sidecar_of

REPEATS = 5
BUFFER = 1 << 18


def make_chain(checkpoints: int, size: int) -> str:
    """Sub-datasets, networks of nine checkpoints each, what is measured of them, a table; gives the figure's path."""
    with Job("x", Path("template.json"), {"code": "0" * 16, **{f"setting_{n}": n for n in range(15)}}, {}) as job:
        job.save_json(0)
    template = artifacts.read_provenance("template.json")
    del template["seal"]

    def write(path: str, content: bytes, inputs: list[str], gathered: list[str] = ()) -> str:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)
        written[path] = hashlib.sha256(content).hexdigest()
        about = {
            "output": path,
            "inputs": {str(n): {"path": each, "sha256": written[each]} for n, each in enumerate(inputs)},
            "gathered": {each: written[each] for each in gathered},
            "outputs": {Path(path).name: {"sha256": written[path], "bytes": len(content)}},
        }
        artifacts.sidecar(path).write_bytes(artifacts.encode_provenance(template | about))
        return path

    written: dict[str, str] = {}
    data, results, subset, previous = write("data/images.bin", os.urandom(50_000_000), []), [], "", []
    for number in range(checkpoints):
        if number % 9 == 0:
            subset, previous = write(f"subset/{number}.bin", os.urandom(10_000), [data]), []
        checkpoint = write(f"pretrain/{number}.bin", os.urandom(size), [data, subset, *previous])
        previous = [checkpoint]
        subnetwork = write(f"prune/{number}.bin", os.urandom(1000), [data, subset, checkpoint])
        results.append(write(f"evaluate/{number}.json", os.urandom(300), [data, subset, subnetwork]))
    return write("figure.png", os.urandom(100_000), [write("table.csv", os.urandom(100_000), [], results)])


def read(path: str) -> None:
    buffer = memoryview(bytearray(BUFFER))
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def one_by_one(work: Callable[[str], object], files: list[str]) -> None:
    for path in files:
        work(path)


def in_threads(work: Callable[[str], object], files: list[str]) -> None:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(work, files))


def verify(figure: str) -> None:
    for known in (changed_sources, normal, sidecar_of, fingerprint._digest, fingerprint._code):
        known.cache_clear()
    lineage = Lineage([figure])
    lineage.text()
    lineage.check()


def seconds(call: Callable, *arguments: object) -> float:
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


def measure(name: str, figure: str) -> None:
    lineage = Lineage([figure])
    files = [path for made in lineage.made for path in made.files if path not in lineage.deleted]
    files += [made.sidecar for made in lineage.made]
    size = sum(os.path.getsize(path) for path in files)
    ways: dict[str, tuple] = {
        "reading": (one_by_one, read, files),
        "hashing": (one_by_one, artifacts.sha256, files),
        "hashing in threads": (in_threads, artifacts.sha256, files),
        "verify": (verify, figure),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(REPEATS):
        for way, call in ways.items():
            times[way].append(seconds(*call))
    command = [sys.executable, "-m", "goodsubnet.cli", "verify", figure]
    quiet = functools.partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
    whole = statistics.median(seconds(quiet, command) for _ in range(REPEATS))
    print(f"\n{name}: {len(files):,} files with their sidecars, {size / 1e6:,.0f} MB")
    for way, taken in times.items():
        ratio = statistics.median(v / t for v, t in zip(times["verify"], taken, strict=True))
        print(f"  {way:<20} {statistics.median(taken):7.3f} s   verify over it {ratio:5.2f}")
    print(f"  {'the command':<20} {whole:7.3f} s")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--results", type=Path, help="a folder where snakemake ran")
    arguments.add_argument("--figure", default="results/demo/figures/figure1.png")
    args = arguments.parse_args()
    if args.results:
        with contextlib.chdir(args.results):
            measure(args.figure, args.figure)
    for name, checkpoints, size in (("large checkpoints", 24, 32_000_000), ("many small files", 891, 1000)):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            measure(name, make_chain(checkpoints, size))
    print(f"\npeak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
