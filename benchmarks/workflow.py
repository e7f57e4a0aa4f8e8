"""How long the workflow itself takes: planning the paper's sweep, seeing that nothing is to be done, starting and
finishing jobs.

    python benchmarks/workflow.py

The sweep is not computed: its files are made empty, and Snakemake is told by --touch that they are finished.
"""

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
REPEATS = 5
MANY_JOBS = 400
SLEEPING_JOBS = """
import sys

sys.path.insert(0, config["workflow"])

from scheduler import one_timer_at_a_time

if config["mended"]:
    one_timer_at_a_time()


rule all:
    input:
        expand("{number}", number=range(config["jobs"])),


rule sleeping:
    output:
        "{number}",
    shell:
        "sleep 0.3; touch {output}"
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "config", folder / "config")
        for what, target in (("figure1", ["figure1"]), ("all of config.yaml's targets", [])):
            planned, said = timed([*SNAKEMAKE, "-n", *target], folder)
            jobs = next(line.split()[1] for line in said.splitlines() if line.startswith("total"))
            print(f"dry run of {what}, {jobs} jobs: {planned:.1f} s")

        listing = subprocess.run(
            [*SNAKEMAKE, "-n", "--quiet", "host"], cwd=folder, check=True, capture_output=True, text=True
        )
        outputs = [line for line in (listing.stdout + listing.stderr).splitlines() if line.startswith("    output: ")]
        for line in outputs:
            for path in line.removeprefix("    output: ").split(", "):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).touch()
        subprocess.run([*SNAKEMAKE, "--touch"], cwd=folder, check=True, capture_output=True)
        for what, target in (("figure1", ["figure1"]), ("all of them", [])):
            decided, said = timed([*SNAKEMAKE, *target], folder)
            assert "Nothing to be done" in said, said[-2000:]
            print(f"deciding that nothing is to be done for {what}: {decided:.1f} s")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config").mkdir()
        shutil.copy(ROOT / "config/demo.yaml", folder / "config/config.yaml")
        subprocess.run([*SNAKEMAKE, "subset_all"], cwd=folder, check=True, capture_output=True)
        settings = json.loads((folder / "results/demo/subset/examples-100/seed-0.provenance.json").read_text())[
            "settings"
        ]
        subset = [
            "scripts/subset.py",
            "--data",
            f"{folder}/results/data/digits/images.safetensors",
            "--examples",
            "100",
        ]
        subset += ["--seed", "0", "--settings", json.dumps(settings), "--output", f"{folder}/again.safetensors"]
        commands = {
            "a subset job, from start to end": subset,
            "an evaluate job, imports and arguments": ["scripts/evaluate.py", "--help"],
            "`import torch`, for comparison": ["-c", "import torch"],
        }
        times: dict[str, list[float]] = {what: [] for what in commands}
        for _ in range(REPEATS):
            for what, arguments in commands.items():
                times[what].append(timed([sys.executable, *arguments], ROOT)[0])
        for what, seconds in times.items():
            print(f"{what}: {statistics.median(seconds):.2f} s (median of {REPEATS})")

    for mended in (0, 1):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "Snakefile").write_text(SLEEPING_JOBS)
            values = ["--config", f"mended={mended}", f"jobs={MANY_JOBS}", f"workflow={ROOT / 'workflow'}"]
            before = processor_seconds()
            timed([sys.executable, "-m", "snakemake", "--cores", "2", "--scheduler", "greedy", *values], Path(name))
            how = "one timer at a time" if mended else "as Snakemake is"
            spent = processor_seconds() - before
            print(f"{MANY_JOBS} jobs that sleep for 0.3 s, {how}: {spent:.1f} s of processor time")


def processor_seconds() -> float:
    """What the processes that have ended so far have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    began = time.perf_counter()
    result = subprocess.run(
        command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return time.perf_counter() - began, result.stdout


if __name__ == "__main__":
    main()
