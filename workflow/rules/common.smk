"""Helpers and wildcard constraints; no rules."""

import json
import os
import shlex
import sys
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import ExecMode

# Not `workflow.basedir`, which inside a module is the folder of the workflow that imports this one.
ROOT = Path(workflow.current_basedir).parents[1]
# Another workflow imports this one, or includes it.
IMPORTED = Path(str(workflow.main_snakefile)).resolve() != (ROOT / "Snakefile").resolve()
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "workflow")]
# Jobs find the package beside the workflow, whether it was installed or not.
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT / "src"), os.getenv("PYTHONPATH")])))

import mending
from chain import Chain
from machine import Machine
from progress import Reporter
from asking import Requests
from stages.base import Input
from goodsubnet import preflight
from goodsubnet.errors import UserError
from goodsubnet.runtime import devices, plugins
from goodsubnet.settings import load_configuration

if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml" if Path("config/config.yaml").exists() else str(ROOT / "config/config.yaml")


# A user's plug-ins lie beside the configuration.
for path in workflow.configfiles:
    plugins.add_folder(Path(os.path.relpath(Path(path).parent / plugins.FOLDER)))

# Jobs go to other machines, as Snakemake itself sees it, or this is one of them.
ELSEWHERE = workflow.resource_settings.nodes is not None or workflow.exec_mode != ExecMode.DEFAULT


def device():
    """What the jobs compute on. This machine knows only its own accelerators: for others `auto` is the CPU."""
    if ELSEWHERE:
        return "cuda" if CONFIGURATION.device == "cuda" else "cpu"
    return devices.resolve(CONFIGURATION.device, os.environ)


try:
    CONFIGURATION = load_configuration(config)
    CHAIN = Chain(CONFIGURATION, on_cluster=ELSEWHERE)
    preflight.check(CONFIGURATION)
    preflight.check_nodes(CONFIGURATION, on_cluster=ELSEWHERE or "SLURM_JOB_ID" in os.environ)
    # Without a device to count, jobs that ask for one would run one after the other for no reason.
    GPU = int(device() == "cuda")
except UserError as error:
    raise WorkflowError(f"{', '.join(map(str, workflow.configfiles))}: {error}") from None


wildcard_constraints:
    dataset="[^/]+",
    experiment="[^/]+",
    network="[^/]+",
    method="[^/]+",
    table="[a-z_]+",
    examples=r"\d+",
    seed=r"\d+",
    iteration=r"\d+",
    digest="[0-9a-f]+",


def escaped(text):
    """Text that Snakemake must not take for wildcards."""
    return text.replace("{", "{{").replace("}", "}}")


# ---- what a rule asks its stage for


def inputs_of(stage):
    """Input functions by name. An input that a job does not have is an empty list."""
    return {name: partial(one_input, stage.name, name) for name in CHAIN.names_of_inputs(stage)}


def one_input(stage, name, wildcards):
    try:
        return CHAIN.input_of(stage, name, dict(wildcards.items()))
    except KeyError:
        # Snakemake also tries paths with names that the configuration does not have.
        raise WorkflowError(f"{stage}: the configuration has no {dict(wildcards.items())}") from None


def outputs_of(stage):
    """Outputs by name, the provenance last."""
    paths = {name: shown(output, CHAIN.pattern(stage.name, output.suffix)) for name, output in stage.outputs.items()}
    if "kept" in stage.given and CONFIGURATION.keep_checkpoints == "last":
        # Snakemake deletes a checkpoint once nothing needs it.
        first = next(iter(paths))
        paths[first] = temp(paths[first])
    return paths | {"provenance": CHAIN.pattern(stage.name, ".provenance.json")}


def shown(output, path):
    """A path, with what the report says about it."""
    if output.shown is None:
        return path
    target = "{experiment}" if "{experiment}" in path else path.split("/")[-2]
    labels = {"what": output.shown.what, "form": "table"}
    return report(path, caption=f"../report/{output.shown.caption}.rst", category=target, labels=labels)


def log_of(path):
    """Where a job's log lies. path: of its output, without root and suffix."""
    return f"{escaped(CHAIN.root)}/logs/{path}.log"


REQUESTS = Requests(accelerated=GPU > 0)


def resources_of(stage):
    """Which stage it is; memory in MB and minutes, more with each attempt; accelerators; and workers."""
    named = {"stage": stage.name}
    if stage.local:
        return named
    asked = named | {
        "mem_mb": lambda wildcards, attempt: REQUESTS.memory(stage, dict(wildcards.items()), attempt),
        "runtime": lambda wildcards, attempt: REQUESTS.minutes(stage, dict(wildcards.items()), attempt),
        "gpu": lambda wildcards: GPU * stage.devices(wildcards),
    }
    if "workers" not in stage.given:
        return asked
    alone = {"workers": lambda wildcards: stage.workers(wildcards), "nodes": 1, "graph": "all"}
    return asked | (SELECTING if "method" in stage.wildcards() else alone)


def settings_of(stage):
    """A parameter: all that the result depends on beside the inputs, for the wildcards that choose."""
    return lambda wildcards: CHAIN.settings(stage.name, wildcards)


def threads_of(stage):
    return lambda wildcards: stage.threads(wildcards)


# How many processes select together, and how they talk. No result depends on it; so these are resources, not parameters
# that Snakemake compares.
def over_nodes(value):
    """A resource that is passed to Slurm only where the workers are spread over several nodes; None is left out."""
    return lambda wildcards, threads: (
        value(distributed(wildcards).nodes, threads) if distributed(wildcards).nodes > 1 else None
    )


def distributed(wildcards):
    return CONFIGURATION.distributed(wildcards.method)


SELECTING = {
    "workers": lambda wildcards: distributed(wildcards).workers,
    "graph": lambda wildcards: distributed(wildcards).graph,
    "nodes": lambda wildcards: distributed(wildcards).nodes,
    # One torchrun on each node, started by the job itself and not by Slurm's plugin (which calls that `mpi`).
    "mpi": over_nodes(lambda nodes, threads: "srun"),
    "tasks": over_nodes(lambda nodes, threads: nodes),
    "tasks_per_gpu": over_nodes(lambda nodes, threads: 0),
    "cpus_per_task": over_nodes(lambda nodes, threads: threads // nodes),
}


# ---- the command of a job


def script(name):
    """The beginning of a shell command. `exec`: signals must reach Python, not a shell in between."""
    return escaped(f"exec python {shlex.quote(os.path.relpath(ROOT / 'scripts' / name))}")


# What no result depends on is part of the command, not of the parameters that Snakemake compares.
DATA_DIR = escaped(f" --data-dir {shlex.quote(CONFIGURATION.data_dir)}")
DEVICE = device() if ELSEWHERE else CONFIGURATION.device
GIVEN = {
    "data_dir": DATA_DIR,
    "machine": f"{DATA_DIR} --device {DEVICE} --readers {CONFIGURATION.readers}",
    "workers": " --workers {resources.workers} --nodes {resources.nodes} --graph {resources.graph}",
    "saving": f" --save-seconds {CONFIGURATION.save_every.seconds}"
    f" --save-iterations {CONFIGURATION.save_every.iterations or 0}",
    # Its sidecar says so: then a checkpoint that is gone was deleted, not lost.
    "kept": " --temporary" if CONFIGURATION.keep_checkpoints == "last" else "",
    "snakefile": escaped(
        f" --snakefile {shlex.quote(str(ROOT / 'Snakefile'))} --configuration {shlex.quote(json.dumps(config))}"
    ),
}


def command(stage):
    """The command of a stage's script: what it is given, its inputs, and the wildcards that are passed to it."""
    given = "".join(GIVEN[name] for name in stage.given)
    # With `=`, an input that is not there is an empty argument, not a missing one.
    inputs = "".join(
        f" --{name.replace('_', '-')}{'=' if isinstance(needed, Input) else ' '}{{input.{name}:q}}"
        for name, needed in stage.inputs.items()
    )
    told = "".join(f" --{name} {{wildcards.{name}:q}}" for name in stage.passed)
    output = f" --settings {{params.settings:q}} --output {{output.{next(iter(stage.outputs))}:q}}"
    return f"{script(stage.name + '.py')}{given}{inputs}{told}{output} > {{log:q}} 2>&1"


def command_of(name):
    """The command of the stage called `name`. Snakemake asks twice: as a rule is defined, when no resource has a value
    yet, and as a job starts, when the loop over the rules has ended."""
    return command(CHAIN.stages[name] if isinstance(name, str) else stage)


# ---- figures

FIGURE = f"{escaped(CHAIN.root)}/{{{{experiment}}}}/figures/{{}}.{{}}"


def tables_of(figure):
    """The tables that a figure is drawn from."""
    return lambda wildcards: [CHAIN.table(table, wildcards.experiment) or [] for table in figure.tables]


def settings_of_figure(figure):
    """A parameter, as for a stage."""
    return lambda wildcards: CHAIN.figure_settings(figure.name, wildcards.experiment)


# ---- targets


def of_targets(stage, suffix=""):
    """All files of a stage that the experiments among the targets have."""
    experiments = CONFIGURATION.target_experiments
    return list(dict.fromkeys(path for name in experiments for path in CHAIN.paths_of(stage, name, suffix)))


def by_name(experiment):
    """What an experiment makes when it is asked for by name."""

    def products(wildcards):
        try:
            preflight.check_architectures(CONFIGURATION, experiment)
            preflight.check_checkpoints(CONFIGURATION, experiment)
            return CHAIN.products_by_name(experiment)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return products


if workflow.exec_mode == ExecMode.DEFAULT and not workflow.remote_exec:
    mending.one_timer_at_a_time()
    mending.whole_arrays_of_equal_jobs()
    # The workflow that imports this one reports its own run.
    if not IMPORTED:
        logger.addFilter(Reporter(workflow, CHAIN, Machine(accelerated=GPU > 0)))
