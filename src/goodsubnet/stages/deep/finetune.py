"""Train a pruned network further."""

import numpy as np

from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.progress import Saving
from goodsubnet.runtime.signals import deferred_signals
from goodsubnet.settings.stages import FinetuneSettings


def finetune(job: Job[FinetuneSettings], machine: Machine, seed: int, saving: Saving) -> dict[str, np.ndarray]:
    """The tensors of the network after fine-tuning. The job's inputs are `data`, `subset` and `subnetwork`."""
    settings = job.settings
    leased = job.acquire(machine, settings.threads)
    from goodsubnet.networks import files
    from goodsubnet.training.fitting import Descent, Fit, training_seed
    from goodsubnet.training.images import images_of
    from goodsubnet.training.loop import prepare_torch

    prepare_torch(leased, settings.threads, settings.deterministic)
    images = images_of(
        job.tensors("data"), job.tensors("subset"), machine, leased.torch_device, "train", settings.augmentation
    )
    kept = job.load_progress()
    start, stop = 0 if kept is None else int(kept["iteration"][0]), settings.iterations
    network, description = files.decode(job.tensors("subnetwork") if kept is None else kept)
    descent = Descent.of(settings, settings.precision, settings.iterations)
    fit = Fit(network, description, descent, leased.torch_device, kept)
    print(f"fine-tuning from iteration {start:,} to {stop:,} on {leased.name}", flush=True)
    with deferred_signals():
        fit.run(images, training_seed("fine-tuning", seed), start, stop, saving.of(job, start, stop, fit.state))
    return files.encode(fit.network, description)
