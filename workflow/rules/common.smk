"""Helpers and wildcard constraints; no rules."""

import json
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake.settings.types import ExecMode

ROOT = Path(workflow.basedir)
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "workflow")]
# Jobs find the package beside the workflow, whether it was installed or not.
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT / "src"), os.getenv("PYTHONPATH")])))

from arrays import arrays_of_equal_jobs
from chain import Chain
from costs import Costs
from needs import Needs
from progress import Reporter
from scheduler import one_timer_at_a_time
from stage_settings import as_json
from goodsubnet import devices
from goodsubnet.errors import UserError
from goodsubnet.settings import Distributed, load_configuration

if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


# Jobs go to other machines, as Snakemake itself sees it, or this is one of them.
ELSEWHERE = workflow.resource_settings.nodes is not None or workflow.exec_mode != ExecMode.DEFAULT


def device():
    """What the jobs compute on. This machine knows its own accelerators only: for others `auto` is the CPU."""
    if ELSEWHERE:
        return "cuda" if CONFIGURATION.device == "cuda" else "cpu"
    return devices.resolve(CONFIGURATION.device, os.environ)


def check_nodes():
    """Raises UserError where workers are to be spread over nodes that this run does not have."""
    if ELSEWHERE or "SLURM_JOB_ID" in os.environ:
        return
    used = {name for experiment in CONFIGURATION.target_experiments for name in CHAIN.experiment(experiment).methods}
    for name in sorted(used):
        nodes = getattr(CONFIGURATION.methods[name], "nodes", 1)
        if nodes > 1:
            raise UserError(
                f"methods.{name}.nodes: {nodes} are asked for, and this run stays on one machine; submit it "
                "(snakemake --workflow-profile profiles/slurm, see docs/cluster.md), or set nodes: 1"
            )


try:
    CONFIGURATION = load_configuration(config)
    CHAIN = Chain(CONFIGURATION)
    CHAIN.check_folders()
    CHAIN.check_style()
    # Without a device to count, jobs that ask for one would run one after the other for nothing.
    GPU = int(device() == "cuda")
    check_nodes()
except UserError as error:
    raise WorkflowError(f"{', '.join(map(str, workflow.configfiles))}: {error}") from None


wildcard_constraints:
    dataset="[^/]+",
    experiment="[^/]+",
    network="[^/]+",
    method="[^/]+",
    table="evaluations|bounds|methods|stopping",
    part="layers|two_layer",
    examples=r"\d+",
    seed=r"\d+",
    iteration=r"\d+",
    digest="[0-9a-f]+",


def escaped(text):
    """Text that Snakemake must not take for wildcards."""
    return text.replace("{", "{{").replace("}", "}}")


def script(name):
    """The beginning of a shell command. `exec`: signals must reach Python, not a shell in between."""
    return escaped(f"exec python {shlex.quote(os.path.relpath(ROOT / 'scripts' / name))}")


# What no result depends on is part of the command, not of the parameters that Snakemake compares.
DATA_DIR = escaped(f" --data-dir {shlex.quote(CONFIGURATION.data_dir)}")
MACHINE = f"{DATA_DIR} --device {device() if ELSEWHERE else CONFIGURATION.device} --readers {CONFIGURATION.readers}"
WORKERS = " --workers {resources.workers} --nodes {resources.nodes} --graph {resources.graph}"
SAVE_EVERY = (
    f" --save-seconds {CONFIGURATION.save_every.seconds}"
    f" --save-iterations {CONFIGURATION.save_every.iterations or 0}"
)


SNAKEFILE = escaped(
    f" --snakefile {shlex.quote(str(workflow.main_snakefile))} --configuration {shlex.quote(json.dumps(config))}"
)


def stage_settings(stage, *names):
    """A parameter: the settings of a stage as JSON, for the wildcards that choose among named entries."""
    return lambda wildcards: as_json(CHAIN.settings(stage, **{name: wildcards[name] for name in names}))


def dataset_of(wildcards):
    return f"{CHAIN.data}.safetensors".format(dataset=CHAIN.experiment(wildcards.experiment).dataset)


def evaluation_gpu(wildcards):
    """A subnetwork of a two-layer network is too small for a device."""
    return GPU if CONFIGURATION.kind_of(wildcards.experiment) == "deep" else 0


def evaluation_threads(wildcards):
    return CONFIGURATION.threads.prune if CONFIGURATION.kind_of(wildcards.experiment) == "deep" else 1


NEEDS = Needs(CHAIN, accelerated=GPU > 0)


def needs(rule):
    """Resources: the memory in MB and the minutes that a job of this rule asks for, more with each attempt."""
    return {
        "mem_mb": lambda wildcards, attempt: NEEDS.memory(rule, wildcards, attempt),
        "runtime": lambda wildcards, attempt: NEEDS.minutes(rule, wildcards, attempt),
    }


def processes_of(wildcards):
    """How many processes train a network together."""
    return getattr(CHAIN.experiment(wildcards.experiment).pretrain, "processes", 1)


def workers_of(wildcards):
    """How many processes select together."""
    return worker_settings(wildcards).workers


def worker_settings(wildcards):
    """The keys of Algorithm 2 of the method that the wildcards name; of one without them their defaults."""
    method = CONFIGURATION.methods[wildcards.method]
    return method if isinstance(method, Distributed) else Distributed()


def over_nodes(value):
    """A resource that Slurm is told only where the workers are spread over several nodes; None is left out."""
    return lambda wildcards, threads: (
        value(worker_settings(wildcards).nodes, threads) if (worker_settings(wildcards).nodes > 1) else None
    )


# How many processes Figure 4 needs.
MOST_WORKERS = max(CONFIGURATION.pruning_times.workers)

# No result depends on the workers; so they are resources, not parameters that Snakemake compares.
SELECTING = {
    "gpu": lambda wildcards: GPU * workers_of(wildcards),
    "workers": workers_of,
    "graph": lambda wildcards: worker_settings(wildcards).graph,
    "nodes": lambda wildcards: worker_settings(wildcards).nodes,
    # One torchrun on each node, started by the job itself and not by Slurm's plugin (which calls that `mpi`).
    "mpi": over_nodes(lambda nodes, threads: "srun"),
    "tasks": over_nodes(lambda nodes, threads: nodes),
    "tasks_per_gpu": over_nodes(lambda nodes, threads: 0),
    "cpus_per_task": over_nodes(lambda nodes, threads: threads // nodes),
}


def kept(path):
    """A checkpoint: with `keep_checkpoints: last` Snakemake deletes it once nothing needs it."""
    return temp(path) if CONFIGURATION.keep_checkpoints == "last" else path


# Its sidecar says so: a checkpoint that is gone was not lost.
KEPT = " --temporary" if CONFIGURATION.keep_checkpoints == "last" else ""


def of_targets(paths):
    """`paths` of each experiment that the configuration names in `targets`."""
    return [path for experiment in CONFIGURATION.target_experiments for path in paths(experiment)]


def if_target(target, path):
    """`path` where the configuration names the target."""
    return [path] if target in CONFIGURATION.targets else []


def by_name(experiment):
    """What an experiment makes that was asked for by its name."""

    def products(wildcards):
        try:
            return CHAIN.products_by_name(experiment)
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return products


def of_experiment(paths):
    """`paths` of the experiment that the wildcards name."""
    return lambda wildcards: paths(wildcards.experiment)


if workflow.exec_mode == ExecMode.DEFAULT and not workflow.remote_exec:
    one_timer_at_a_time()
    arrays_of_equal_jobs()
    logger.addFilter(Reporter(workflow, Costs(CHAIN, accelerated=GPU > 0)))
