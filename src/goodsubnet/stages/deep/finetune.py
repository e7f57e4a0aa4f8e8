"""Train a pruned network further."""

import numpy as np

from goodsubnet.jobs import Job, Machine, Saving, deferred_signals


def finetune(job: Job, machine: Machine, seed: int, saving: Saving) -> dict[str, np.ndarray]:
    """The tensors of the network after fine-tuning. The job's inputs are `data`, `subset` and `subnetwork`."""
    leased = job.acquire(machine)
    from goodsubnet.networks import files
    from goodsubnet.stages.deep.fitting import Fit, training_seed
    from goodsubnet.stages.deep.images import images_of
    from goodsubnet.training import prepare_torch

    settings = {**job.settings, "schedule_iterations": job.settings["iterations"]}
    prepare_torch(leased, settings["threads"], settings["deterministic"])
    images = images_of(job, machine, leased.torch_device, "train", settings["augmentation"])
    kept = job.load_progress()
    start, stop = 0 if kept is None else int(kept["iteration"][0]), settings["iterations"]
    network, description = files.decode(job.tensors("subnetwork") if kept is None else kept)
    fit = Fit(network, description, settings, leased.torch_device, kept)
    print(f"fine-tuning from iteration {start:,} to {stop:,} on {leased.name}", flush=True)
    with deferred_signals():
        fit.run(images, training_seed("fine-tuning", seed), start, stop, saving.of(job, start, stop, fit.state))
    return files.encode(fit.network, description)
