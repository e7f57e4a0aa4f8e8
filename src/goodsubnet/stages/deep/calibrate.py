"""Find the tolerance with which a trained deep network keeps a given share of its multiply-adds."""

from typing import cast

from goodsubnet.errors import UserError
from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.jobs import Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings.stages import LayerPruneSettings


def calibrate(job: Task[LayerPruneSettings], machine: Machine, seed: int) -> dict[str, Json]:
    """The tolerance, the shares of multiply-adds and parameters that it gives, and what was tried.

    The job's inputs are `data`, `subset` and `checkpoint`. Raises UserError for a share out of reach.
    """
    from goodsubnet.stages.deep.prune import Pruner

    if job.settings.chosen.asked_ratio is None:
        raise UserError(f"{job.settings.method.algorithm} was asked for no share of the multiply-adds: flops_ratio")
    target, margin = job.settings.chosen.asked_ratio
    pruner = Pruner(job, machine, seed)
    from goodsubnet.networks.complexity import complexity
    from goodsubnet.pruning.layerwise import find_tolerance, least_flops_ratio

    image = pruner.description["image"]
    dense = complexity(pruner.network, image)
    least = least_flops_ratio(pruner.network, image)
    if target < least:
        raise UserError(
            f"flops_ratio: {target} of the multiply-adds is out of reach: with one channel in every layer that can be "
            f"pruned {least:.3f} are left; ask for more"
        )
    params_ratios = {}

    def ratio_of(tolerance: float) -> float:
        small = complexity(pruner.pruned(tolerance)[0], image)
        params_ratios[tolerance] = small["parameters"] / dense["parameters"]
        ratio = small["multiply_adds"] / dense["multiply_adds"]
        print(f"tolerance {tolerance:.5g} keeps {ratio:.4f} of the multiply-adds", flush=True)
        return ratio

    tolerance, trace = find_tolerance(ratio_of, target, margin)
    reached = next(
        ratio for each in trace if each["tolerance"] == tolerance and (ratio := each["flops_ratio"]) is not None
    )
    if abs(reached - target) > margin:
        print(f"no tolerance that was tried comes closer to flops_ratio {target} than {reached:.4f}")
    return {
        "tolerance": tolerance,
        "flops_ratio": reached,
        "params_ratio": params_ratios[tolerance],
        "target": target,
        "tried": cast(Json, trace),
    }
