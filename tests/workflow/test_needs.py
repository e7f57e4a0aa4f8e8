"""What jobs ask for, and the profiles that say how Snakemake runs them."""

import re

import pytest
import yaml
from asking import LONGEST, Requests
from chain import Chain
from project import ROOT, Project

from goodsubnet.settings import load_configuration

CLUSTER = ["--workflow-profile", str(ROOT / "profiles/slurm")]
LARGEST = {"experiment": "figure1", "network": "width-20000", "examples": "50000", "iteration": "1000"}
THIN = {"experiment": "cifar10_jpeg", "network": "mobilenet_v2_thin", "examples": "20000", "iteration": "1000"}
TABLE1 = {"experiment": "table1", "network": "resnet34", "examples": "50000", "iteration": "80000"}


class Asked:
    """What the stages of a configuration ask for."""

    def __init__(self, configuration: str, accelerated: bool = False) -> None:
        settings = yaml.safe_load((ROOT / f"config/{configuration}.yaml").read_text())
        self.stages = Chain(load_configuration(settings)).stages
        self.requests = Requests(accelerated)

    def memory(self, rule: str, wildcards: dict[str, str], attempt: int) -> int:
        return self.requests.memory(self.stages[rule], wildcards, attempt)

    def minutes(self, rule: str, wildcards: dict[str, str], attempt: int) -> int:
        return self.requests.minutes(self.stages[rule], wildcards, attempt)


# Peak memory in MB of a script, as its provenance told.
@pytest.mark.parametrize(
    ("configuration", "rule", "wildcards", "measured"),
    [
        ("config", "pretrain", LARGEST, 646),
        ("config", "prune", {**LARGEST, "method": "greedy"}, 4526),
        ("cifar10_jpeg", "pretrain", THIN, 1466),
        ("cifar10_jpeg", "calibrate", {**THIN, "method": "greedy_60"}, 1408),
        ("cifar10_jpeg", "prune", {**THIN, "method": "greedy_60"}, 1355),
        ("cifar10_jpeg", "finetune", {**THIN, "method": "greedy_60"}, 1287),
        ("cifar10_jpeg", "evaluate", {**THIN, "method": "greedy_60"}, 1124),
    ],
)
def test_a_job_asks_for_the_memory_that_was_measured_and_not_for_twice_that(
    configuration: str, rule: str, wildcards: dict[str, str], measured: int
) -> None:
    both = measured + 280  # and the two processes of Snakemake
    assert both < Asked(configuration).memory(rule, wildcards, 1) < 2 * both


def test_each_attempt_asks_for_twice_as_much_but_for_no_more_than_a_day() -> None:
    asked, wildcards = Asked("config"), {**LARGEST, "method": "greedy"}
    memory = [asked.memory("prune", wildcards, attempt) for attempt in (1, 2, 3)]
    minutes = [asked.minutes("prune", wildcards, attempt) for attempt in (1, 2, 3)]
    assert memory[1:] == [2 * memory[0], 4 * memory[0]]
    assert minutes[1:] == [2 * minutes[0], 4 * minutes[0]]
    assert asked.minutes("pretrain", TABLE1, 1) == asked.minutes("pretrain", TABLE1, 3) == LONGEST


def test_an_accelerator_shortens_what_runs_on_it_and_nothing_else() -> None:
    alone, accelerated = Asked("config"), Asked("config", accelerated=True)
    for rule, wildcards in (("prune", LARGEST), ("terms", LARGEST), ("evaluate", LARGEST)):
        wildcards = {**wildcards, "method": "greedy"}
        shorter = accelerated.minutes(rule, wildcards, 1) < alone.minutes(rule, wildcards, 1)
        assert shorter == (rule == "prune")
    assert accelerated.minutes("pretrain", TABLE1, 1) < LONGEST


def test_a_job_runs_where_snakemake_runs_or_says_what_it_needs(project: Project) -> None:
    """A rule that names no memory would get Snakemake's default, whatever it holds."""
    said = project.snakemake(*CLUSTER, "--quiet", "host", "-n", "-p").stdout
    jobs = re.findall(r"^rule (\w+):\n(.*?)\n\n", said, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in jobs} > {"pretrain", "prune", "evaluate", "draw_figure1", "report"}
    stages = Asked("config").stages
    for name, text in jobs:
        elsewhere = name in stages and not stages[name].local
        assert bool(re.search(r"resources: .*mem_mb=\d+.*runtime=\d+", text)) == elsewhere, name
    # A figure is drawn, and a stage of seconds is run, where Snakemake runs.
    figures, staged = ((ROOT / f"workflow/rules/{name}.smk").read_text() for name in ("figures", "stages"))
    assert "localrule: True" in figures
    assert "localrule: stage.local" in staged


def test_the_profile_of_a_cluster_has_what_that_of_one_machine_has() -> None:
    machine, cluster = (
        yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text()) for name in ("default", "slurm")
    )
    assert {name: cluster.get(name) for name in machine} == machine


@pytest.mark.parametrize(("device", "gpus"), [("cuda", "1"), ("cpu", "0"), ("auto", "0")])
def test_on_a_cluster_the_configuration_alone_says_whether_devices_are_asked_for(
    project: Project, device: str, gpus: str
) -> None:
    """The machine where Snakemake runs need not have one."""
    project.settings["device"] = device
    said = project.snakemake(*CLUSTER, "--quiet", "host", "-n", "-p", "--", "pretrain_all").stdout
    (text,) = re.findall(r"^rule pretrain:\n(.*?)\n\n", said, re.MULTILINE | re.DOTALL)[:1]
    assert re.search(rf" gpu={gpus}\b", text)
    assert f"--device {device.replace('auto', 'cpu')} " in text
