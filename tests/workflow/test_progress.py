"""What a run says of itself before it starts."""

import os
import re
import subprocess
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from chain import Chain
from conftest import ROOT, Project
from costs import START_OF_WORKERS, Costs
from progress import Reporter, amount, duration

from goodsubnet.settings import load_configuration


def costs_of(**changed: dict) -> Costs:
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return Costs(Chain(load_configuration({**raw, **changed})), accelerated=False)


@pytest.fixture
def costs() -> Costs:
    return costs_of()


def test_the_papers_sweep_keeps_33_gigabytes(costs: Costs) -> None:
    """Three widths of 785 float32 numbers a neuron, eleven sizes, three seeds, nine checkpoints."""
    experiment = costs.chain.experiment("figure1")
    marks = experiment.pretrain.checkpoint_iterations
    cells = product(experiment.networks, experiment.examples, experiment.seeds, marks)
    names = ("network", "examples", "seed", "iteration")
    disk = sum(
        costs.of("pretrain", {"experiment": "figure1", **dict(zip(names, map(str, cell), strict=True))})[1]
        for cell in cells
    )
    assert disk == pytest.approx(4 * 785 * 35_000 * 11 * 3 * 9, rel=0.001)


def test_longer_segments_and_wider_networks_cost_more(costs: Costs) -> None:
    def seconds(rule: str, **wildcards: str) -> float:
        base = {"experiment": "figure1", "network": "width-5000", "examples": "5000", "iteration": "1000"}
        return costs.of(rule, {**base, "method": "greedy", **wildcards})[0]

    assert seconds("pretrain", iteration="0") < seconds("pretrain") < seconds("pretrain", network="width-20000")
    assert seconds("prune") < seconds("prune", examples="50000")
    assert seconds("prune", method="random") < seconds("prune")


@pytest.mark.parametrize("part", ["layers", "two_layer"])
def test_figure_4_costs_what_its_settings_say(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Costs, "rate", lambda self: 5e10)
    less = {"repetitions": 2, "layers": {"candidates": 10}, "two_layer": {"width": 4000}}
    many, few = (each.of("measure_pruning", {"part": part})[0] for each in (costs_of(), costs_of(pruning_times=less)))
    assert few - START_OF_WORKERS == pytest.approx((many - START_OF_WORKERS) * 3 / 6 / 5)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (80, "80 s"), (300, "5.0 minutes"), (40_000, "11 hours"), (2e5, "2.3 days")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert amount(33e9) == "33.0 GB"


def test_a_dry_run_is_a_table_that_a_person_can_read(project: Project) -> None:
    said = project.snakemake("-n").stdout
    for rule, count in {"prepare": 1, "subset": 2, "pretrain": 6, "prune": 6, "evaluate": 6, "report": 1}.items():
        assert any(line.split()[:2] == [rule, str(count)] for line in said.splitlines())
    assert "A rough estimate" in said
    assert "Disk: " in said
    assert len(said.splitlines()) < 50


def test_workers_are_counted_alike_with_and_without_a_number_of_cores(project: Project) -> None:
    project.settings["methods"]["greedy"] |= {"workers": 2}
    commands = [project.command("-n"), project.command("-n", "--cores", str(os.cpu_count()))]
    commands[0] = [word for word in commands[0] if word not in ("--cores", "2")]
    said = [subprocess.run(each, cwd=project.folder, text=True, capture_output=True).stderr for each in commands]
    told = [re.search(r"^prune +6 +(.*)$", each, re.MULTILINE)[1] for each in said]
    assert told[0] == told[1]


def test_the_log_of_an_earlier_run_is_not_taken_for_that_of_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    log = tmp_path / "job.log"
    log.write_text("what was wrong")
    failed = SimpleNamespace(rule_name="prune", output=["made"], rule_msg="", log=[str(log)])
    reporter = Reporter(workflow=None, costs=None)
    os.utime(log, (reporter.started + 1, reporter.started + 1))
    reporter.failure(failed)
    assert "what was wrong" in capsys.readouterr().err
    os.utime(log, (reporter.started - 1, reporter.started - 1))
    reporter.failure(failed)
    said = capsys.readouterr().err
    assert "The job prune failed (made)." in said
    assert "what was wrong" not in said
