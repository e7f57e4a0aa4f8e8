"""CONTRIBUTING.md is true: what it says is enough for a new stage with a figure is enough."""

import csv
import re

from project import ROOT, Project

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
FILES = dict(re.findall(r"`([\w/]+\.(?:py|rst))`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))


def test_a_stage_and_its_figure_take_five_files_and_no_edit(project_with_code: Project) -> None:
    project = project_with_code
    project.snakemake("small")
    for name, text in FILES.items():
        path = project.code / name
        assert not path.exists()
        path.write_text(text)
    assert len(FILES) == 5
    assert project.plan("small") == {"gap": 1, "draw_gap": 1}
    project.snakemake("small")
    rows = list(csv.DictReader((project.folder / "results/small/gap.csv").open()))
    assert [row["iteration"] for row in rows] == ["0", "10", "20"]
    assert (project.folder / "results/small/figures/gap.png").read_bytes().startswith(b"\x89PNG")
    assert "What pruning costs" in (project.folder / "results/small/report.html").read_text()


def test_the_files_that_it_names_are_there() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tour_is_of_eight_files_and_the_map_of_every_package() -> None:
    tour = PAGE.split("## A tour in eight files")[1].split("##")[0]
    assert len(re.findall(r"^\d\. ", tour, re.MULTILINE)) == 8
    packages = {path.parent.name for path in (ROOT / "src/goodsubnet").glob("*/__init__.py")}
    mapped = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)) - {"cli"}
    assert mapped == packages
