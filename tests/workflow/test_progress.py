"""What a run says of itself before it starts."""

import os
import re
import subprocess
from itertools import product
from pathlib import Path

import pytest
import yaml
from chain import Chain
from machine import START_OF_WORKERS, Machine
from progress import Reporter, amount, duration
from project import ROOT, Project

from goodsubnet.settings import load_configuration

MACHINE = Machine(accelerated=False, rate=5e10)


def chain_of(**changed: dict) -> Chain:
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return Chain(load_configuration({**raw, **changed}))


@pytest.fixture
def chain() -> Chain:
    return chain_of()


def test_the_papers_sweep_keeps_33_gigabytes(chain: Chain) -> None:
    """Three widths of 785 float32 numbers per neuron, eleven sizes, three seeds, nine checkpoints."""
    experiment = chain.configuration.experiments["figure1"]
    marks = experiment.pretrain.checkpoint_iterations
    cells = product(experiment.networks, experiment.examples, experiment.seeds, marks)
    names = ("network", "examples", "seed", "iteration")
    disk = sum(
        chain.stages["pretrain"]
        .cost({"experiment": "figure1", **dict(zip(names, map(str, cell), strict=True))}, MACHINE)
        .size
        for cell in cells
    )
    assert disk == pytest.approx(4 * 785 * 35_000 * 11 * 3 * 9, rel=0.001)


def test_longer_segments_and_wider_networks_cost_more(chain: Chain) -> None:
    def seconds(rule: str, **wildcards: str) -> float:
        base = {"experiment": "figure1", "network": "width-5000", "examples": "5000", "iteration": "1000"}
        return chain.stages[rule].cost({**base, "method": "greedy", **wildcards}, MACHINE).seconds

    assert seconds("pretrain", iteration="0") < seconds("pretrain") < seconds("pretrain", network="width-20000")
    assert seconds("prune") < seconds("prune", examples="50000")
    assert seconds("prune", method="random") < seconds("prune")


@pytest.mark.parametrize("part", ["layers", "two_layer"])
def test_figure_4_costs_what_its_settings_say(part: str) -> None:
    less = {"repetitions": 2, "layers": {"candidates": 10}, "two_layer": {"width": 4000}}
    stages = [each.stages["measure_pruning"] for each in (chain_of(), chain_of(pruning_times=less))]
    many, few = (stage.cost({"part": part}, MACHINE).seconds for stage in stages)
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
    said = [
        subprocess.run(
            each,
            cwd=project.folder,
            text=True,
            capture_output=True,
            env=project.environment(),
            stdin=subprocess.DEVNULL,
        ).stderr
        for each in commands
    ]
    told = [re.search(r"^prune +6 +(.*)$", each, re.MULTILINE)[1] for each in said]
    assert told[0] == told[1]


def test_the_log_of_an_earlier_run_is_not_taken_for_that_of_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    log = tmp_path / "job.log"
    log.write_text("what was wrong")
    failed = {"rule_name": "prune", "output": ["made"], "rule_msg": "", "log": [str(log)]}
    reporter = Reporter(workflow=None, chain=chain_of(), machine=None)
    os.utime(log, (reporter.started + 1, reporter.started + 1))
    reporter._failure(failed)
    assert "what was wrong" in capsys.readouterr().err
    os.utime(log, (reporter.started - 1, reporter.started - 1))
    reporter._failure(failed)
    said = capsys.readouterr().err
    assert "The job prune failed (made)." in said
    assert "what was wrong" not in said
