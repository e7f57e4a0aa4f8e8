"""Find the tolerance with which a trained deep network keeps a given share of its multiply-adds."""

from goodsubnet.errors import UserError
from goodsubnet.jobs import Machine, Task


def calibrate(job: Task, machine: Machine, seed: int) -> dict:
    """The tolerance, the shares of multiply-adds and parameters that it gives, and what was tried.

    The job's inputs are `data`, `subset` and `checkpoint`. Raises UserError for a share out of reach.
    """
    from goodsubnet.stages.deep.prune import Pruner

    pruner = Pruner(job, machine, seed)
    from goodsubnet.networks.complexity import complexity
    from goodsubnet.pruning import find_tolerance, least_flops_ratio

    method, image = job.settings["method"], pruner.description["image"]
    dense, target = complexity(pruner.network, image), method["flops_ratio"]
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

    tolerance, trace = find_tolerance(ratio_of, target, method["flops_margin"])
    reached = next(row["flops_ratio"] for row in trace if row["tolerance"] == tolerance)
    if abs(reached - target) > method["flops_margin"]:
        print(f"no tolerance that was tried comes closer to flops_ratio {target} than {reached:.4f}")
    return {
        "tolerance": tolerance,
        "flops_ratio": reached,
        "params_ratio": params_ratios[tolerance],
        "target": target,
        "tried": trace,
    }
