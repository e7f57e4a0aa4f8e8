"""A small configuration in a folder of its own, and Snakemake run on it as a user runs it."""

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from warm_python import warm_folder, warm_path

ROOT = Path(__file__).parents[2]

SMALL = {
    "targets": ["small"],
    "datasets": {"digits": {"source": "digits", "groups": [list("01234"), list("56789")]}},
    "networks": {"width-20": {"kind": "two_layer", "width": 20}},
    "methods": {"greedy": {"algorithm": "greedy", "steps": 5}, "random": {"algorithm": "random", "steps": 5}},
    "stopping": {"steps": 5},
    "experiments": {
        "small": {
            "dataset": "digits",
            "networks": ["width-20"],
            "methods": ["random"],
            "examples": [20, 40],
            "seeds": [0],
            "pretrain": {"iterations": 20, "checkpoints": {"every": 10}, "batch_size": 8, "learning_rate": 0.05},
        }
    },
}


class Project:
    """A folder with a configuration, in which Snakemake is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = ROOT
        # With libraries loaded before the fork; False for tests of how processes start, stop and die.
        self.warm = True
        self.settings = copy.deepcopy(SMALL)

    @classmethod
    def with_own_code(cls, folder: Path) -> "Project":
        """One with a copy of the code of its own, that a test may edit."""
        project = cls(folder)
        project.code = folder / "code"
        project.code.mkdir()
        for name in ("Snakefile", "workflow", "scripts", "src", "envs", "profiles"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, project.code / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, project.code / name)
        return project

    def copied(self, folder: Path) -> "Project":
        """This project, its code and what it has made, in another folder."""
        # Times of last change count, so they are copied along.
        shutil.copytree(self.folder, folder, symlinks=True)
        project = Project(folder)
        project.settings = copy.deepcopy(self.settings)
        project.code = folder / "code"
        project.warm = self.warm
        return project

    @property
    def experiment(self) -> dict:
        return self.settings["experiments"]["small"]

    def command(self, *arguments: str) -> list[str]:
        (self.folder / "config").mkdir(exist_ok=True)
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(self.settings))
        python = str(warm_folder() / "python") if self.warm else sys.executable
        start = [python, "-m", "snakemake", "--snakefile", str(self.code / "Snakefile")]
        return [*start, "--cores", "2", *arguments]

    def environment(self) -> dict[str, str]:
        """What Snakemake and its jobs are started with."""
        return {**os.environ, "PATH": warm_path()} if self.warm else dict(os.environ)

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run Snakemake; its output, both streams together, is in `stdout`."""
        result = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=self.environment(),
        )
        assert not check or result.returncode == 0, result.stdout
        return result

    def plan(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a dry run says it would run; the report left out."""
        output = self.snakemake("-n", *arguments).stdout
        if "Nothing to be done" in output:
            return {}
        table = output.split("stage", 1)[1].split("A rough estimate")[0]
        counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+) ", table, re.MULTILINE)}
        assert counts.pop("total") == sum(counts.values())
        return {name: count for name, count in counts.items() if name != "report"}

    def path(self, pattern: str) -> Path:
        (found,) = self.folder.glob(pattern)
        return found

    def contents(self, pattern: str) -> dict[str, bytes]:
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.glob(pattern)}
