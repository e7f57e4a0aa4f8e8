"""Measure the terms of the bounds on a checkpoint, and the loss of its subnetwork after each step, in float64."""

from goodsubnet.data.inputs import network_inputs
from goodsubnet.networks.two_layer import initial_weights_of, neuron_outputs
from goodsubnet.runtime.commands import parser, run
from goodsubnet.runtime.jobs import Job
from goodsubnet.runtime.threads import limited_threads
from goodsubnet.settings.stages import TermsSettings
from goodsubnet.theory import NotApplicable
from goodsubnet.theory.terms import initial_spectrum, lengths, measured_terms, movement, unmet_assumptions
from goodsubnet.training.losses import targets_of


def main(argv: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", required=True, help="the prepared data set")
    arguments.add_argument("--subset", required=True, help="the sub-dataset that the network was trained on")
    arguments.add_argument("--checkpoint", required=True, help="the trained network")
    arguments.add_argument("--subnetwork", required=True, help="what was selected")
    arguments.add_argument("--seed", required=True, type=int)
    args = arguments.parse_args(argv)
    inputs = {name: getattr(args, name) for name in ("data", "subset", "checkpoint", "subnetwork")}
    with Job("terms", args.output, TermsSettings.model_validate(args.settings), inputs, seed=args.seed) as job:
        settings, architecture = job.settings, job.settings.architecture
        data, subset, checkpoint = job.tensors("data"), job.tensors("subset")["indices"], job.tensors("checkpoint")
        rows = network_inputs(data["train_images"][subset], int(data["pixel_max"][0]), settings.inputs)
        targets = targets_of(data["train_labels"][subset], settings.loss)
        weights = {name: checkpoint[name] for name in "ab"}
        names = (settings.experiment, settings.network, args.seed)
        initial = initial_weights_of(architecture, rows.shape[1], *names)
        job.facts["threads"] = settings.threads
        with limited_threads(settings.threads):
            outputs = neuron_outputs(weights, rows, architecture.activation)
            terms = measured_terms(outputs, targets, job.tensors("subnetwork")["neurons"], settings.loss)
            distances = movement(weights, initial)
            terms |= {"mean_movement": distances.mean(), "largest_movement": distances.max()}
            terms["initial_length"] = lengths(initial).mean()
            terms["unmet_assumptions"] = unmet_assumptions(
                architecture, settings.loss, settings.batch_size, rows, targets
            )
            if checkpoint["iteration"][0] == 0 and not terms["unmet_assumptions"]:
                terms |= initial_spectrum(initial, rows, architecture.activation)
        print(" ".join(f"{name} {value:.4g}" for name, value in terms.items() if isinstance(value, float)))
        job.save_json(
            {name: str(value) if isinstance(value, NotApplicable) else value for name, value in terms.items()}
        )


if __name__ == "__main__":
    run(main)
