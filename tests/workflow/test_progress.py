"""What a run says of itself before it starts."""

from itertools import product

import pytest
import yaml
from chain import Chain
from conftest import ROOT, Project
from costs import Costs
from progress import amount, duration

from goodsubnet.settings import load_configuration


@pytest.fixture
def costs() -> Costs:
    raw = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    return Costs(Chain(load_configuration(raw)), accelerated=False)


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
