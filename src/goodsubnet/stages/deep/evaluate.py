"""Measure a pruned deep network, before and after fine-tuning, and what it costs."""

from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import DeepEvaluateSettings
from goodsubnet.stages.contract import Measured

LATENCY_BATCHES = (1, 128)
# For each size of batch; the medians of two networks that take turns settle quickly.
LATENCY_SECONDS = 0.5


def evaluate(job: Job[DeepEvaluateSettings], machine: Machine) -> Measured:
    """Accuracies and losses, multiply-adds and parameters, also as shares of the dense network's.

    The job's inputs are `data`, `subset`, `subnetwork` and, where it was fine-tuned, `finetuned`. The latencies, which
    no two runs have alike, become facts of the job: seconds per batch of each size, on its device and threads.
    """
    leased = job.acquire(machine, job.settings.threads)
    from goodsubnet.networks import files
    from goodsubnet.networks.complexity import complexity, latency
    from goodsubnet.networks.deep import build
    from goodsubnet.training.fitting import measure
    from goodsubnet.training.images import images_of, measured_parts
    from goodsubnet.training.loop import prepare_torch

    prepare_torch(leased, job.settings.threads, job.settings.deterministic)
    pruned, description = files.decode(job.tensors("subnetwork"))
    final = files.decode(job.tensors("finetuned"))[0] if "finetuned" in job.inputs else pruned
    data, subset = job.tensors("data"), job.tensors("subset")
    row: Measured = {"tolerance": description["pruning"]["tolerance"]}
    for part in measured_parts(subset):
        images = images_of(data, subset, machine, leased.torch_device, part)
        after = before = measure(final.to(leased.torch_device), images)
        if final is not pruned:
            before = measure(pruned.to(leased.torch_device), images)
        row |= {f"{part}_{name}": value for name, value in after.items()}
        row[f"pruned_{part}_accuracy"] = before["accuracy"]
    mean, std = (values.flatten().tolist() for values in (final.mean, final.std))
    dense = build(description["architecture"], description["classes"], mean, std)
    large, small = (complexity(network, description["image"]) for network in (dense, final))
    row |= {**small, "flops_ratio": small["multiply_adds"] / large["multiply_adds"]}
    row["params_ratio"] = small["parameters"] / large["parameters"]
    job.facts["latency_seconds"] = {
        str(batch): latency(
            {"dense": dense, "pruned": final}, description["image"], batch, leased.torch_device, 3, LATENCY_SECONDS
        )
        for batch in LATENCY_BATCHES
    }
    return row
