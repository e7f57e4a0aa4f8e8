"""Choose a subnetwork of a checkpoint, and store its neurons and weights."""

import numpy as np
from threadpoolctl import threadpool_limits

from goodsubnet import devices
from goodsubnet.data.inputs import network_inputs
from goodsubnet.jobs import Job, parser, run
from goodsubnet.losses import targets_of
from goodsubnet.methods import Candidates, load_method


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--checkpoint", required=True, help="the trained network")
    arguments.add_argument("--seed", required=True, type=int)
    arguments.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    args = arguments.parse_args(argv)
    inputs = {"data": args.data, "subset": args.subset, "checkpoint": args.checkpoint}
    with Job("prune", args.output, args.settings, inputs, seed=args.seed) as job:
        device = devices.acquire(args.device)
        settings, method = job.settings, job.settings["method"]
        job.facts |= {"device": device.name, "threads": settings["threads"]}
        checkpoint, data = job.tensors("checkpoint"), job.tensors("data")
        weights = {name: checkpoint[name] for name in "ab"}
        subset = job.tensors("subset")["indices"]
        images = network_inputs(data["train_images"][subset], int(data["pixel_max"][0]), settings["inputs"])
        targets = targets_of(data["train_labels"][subset], settings["loss"])
        if device.kind == "cuda":
            import torch

            devices.require_torch(device)
            images, targets = (torch.from_numpy(x).to(device.torch_device) for x in (images, targets))
        candidates = Candidates(weights, images, targets, settings["activation"], settings["loss"], settings["threads"])
        with threadpool_limits(settings["threads"]):
            selection = load_method(method["algorithm"]).select(candidates, method, args.seed)
        chosen, counts = np.unique(np.asarray(selection.neurons), return_counts=True)
        steps = len(selection.neurons)
        print(f"{steps} steps, {len(chosen)} distinct neurons, mean loss {float(selection.losses[-1]):.6f}")
        job.save_tensors(
            {
                "neurons": np.asarray(selection.neurons),
                "losses": np.asarray(selection.losses),
                "distinct_neurons": chosen,
                "share": (counts / steps).astype(np.float32),
                **{name: array[chosen] for name, array in weights.items()},
            }
        )


if __name__ == "__main__":
    run(main)
