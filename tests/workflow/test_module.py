"""The workflow inside of another one, and from other folders."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from project import ROOT, Project

PAGE = (ROOT / "docs/module.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def numbers(path: Path) -> list[dict[str, str]]:
    """The rows of a table but for the measured times."""
    with path.open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("alone"))
    project.snakemake("results/small/evaluations.csv")
    return project


@pytest.fixture
def outer(tmp_path: Path) -> Project:
    """The workflow of docs/module.md, with its profile."""
    project = Project(tmp_path)
    project.code = tmp_path / "workflow of mine"
    (project.code / "profiles/default").mkdir(parents=True)
    (project.code / "Snakefile").write_text(block("python").replace("goodsubnet/Snakefile", str(ROOT / "Snakefile")))
    (project.code / "profiles/default/config.yaml").write_text(block("yaml"))
    (project.folder / "mine.yaml").write_text(yaml.safe_dump(project.settings))
    return project


def test_the_rules_of_another_workflow_make_the_same(alone: Project, outer: Project) -> None:
    made = outer.snakemake().stdout
    assert (outer.folder / "summary.txt").read_text() == "7\n"
    table = "results/small/evaluations.csv"
    assert numbers(outer.folder / table) == numbers(alone.folder / table)
    same = "results/small/*/**/*.safetensors"
    assert outer.contents(same) == alone.contents(same)
    assert "rule goodsubnet_pretrain" in made
    assert "Nothing to be done" in outer.snakemake("-n").stdout


def test_a_setting_changed_there_runs_what_it_must(outer: Project) -> None:
    outer.snakemake()
    outer.settings["methods"]["random"]["steps"] = 6
    (outer.folder / "mine.yaml").write_text(yaml.safe_dump(outer.settings))
    said = outer.snakemake("-n").stdout
    counts = dict(re.findall(r"^goodsubnet_(\w+) +(\d+)$", said, re.MULTILINE))
    assert counts == {"plan": "1", "prune": "6", "evaluate": "6", "collect": "1"}


def test_from_any_folder_with_its_directory_and_none_of_its_configuration(alone: Project, tmp_path: Path) -> None:
    """`--directory` names the folder of the results; a configuration is looked for there, too."""
    command = [*alone.command("results/small/evaluations.csv", "-n"), "--directory", str(alone.folder)]
    said = subprocess.run(
        command, cwd=tmp_path, env=alone.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert said.returncode == 0, said.stderr
    assert "Nothing to be done" in said.stdout + said.stderr


def test_without_a_configuration_in_the_folder_it_is_the_one_beside_the_workflow(tmp_path: Path) -> None:
    project = Project(tmp_path)
    command = project.command("-n")
    shutil.rmtree(tmp_path / "config")
    said = subprocess.run(
        command, cwd=tmp_path, env=project.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert said.returncode == 0, said.stderr
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert re.search(r"^pretrain +[\d,]+ ", said.stderr, re.MULTILINE)
    assert default["targets"]
