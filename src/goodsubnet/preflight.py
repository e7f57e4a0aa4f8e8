"""What is checked before the first job: by `goodsubnet check`, and by the workflow as it is parsed.

`settings` says what is wrong in the configuration itself; here it is compared with what lies on the disk.
"""

import itertools
import os
from pathlib import Path

from goodsubnet.errors import UserError
from goodsubnet.exchange.foreign import check_imported
from goodsubnet.settings import places
from goodsubnet.settings.configuration import Configuration
from goodsubnet.settings.figures import FigureStyle


def check(configuration: Configuration) -> None:
    """Raises UserError where a run of the configured targets could not finish, as far as can be foreseen."""
    check_results(configuration)
    check_by_itself(configuration)
    for experiment in configuration.target_experiments:
        check_checkpoints(configuration, experiment)
        check_data(configuration, experiment)


def check_by_itself(configuration: Configuration) -> None:
    """The same without looking at data, checkpoints and results, which may be on another machine."""
    for experiment in configuration.target_experiments:
        check_architectures(configuration, experiment)
    check_style(configuration)


def check_results(configuration: Configuration) -> None:
    """Raises UserError where nothing could be written."""
    results = Path(configuration.results_dir)
    if results.exists() and not results.is_dir():
        raise UserError(f"results_dir: {results} is not a folder; name another one")
    nearest = next(folder for folder in [results, *results.absolute().parents] if folder.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"results_dir: {nearest} cannot be written; name another folder or change its rights")


def check_architectures(configuration: Configuration, experiment: str) -> None:
    """Raises UserError where a network's file builds no network."""
    for name in configuration.experiments[experiment].networks:
        try:
            configuration.networks[name].as_architecture()
        except UserError as error:
            raise UserError(f"networks.{name}.file: {error}") from None


def check_checkpoints(configuration: Configuration, experiment: str) -> None:
    """Raises UserError where a checkpoint from elsewhere is not there."""
    chosen = configuration.experiments[experiment]
    grid = itertools.product(chosen.networks, chosen.examples, chosen.seeds, chosen.pretrain.checkpoint_iterations)
    for network, examples, seed, iteration in grid:
        pattern = configuration.networks[network].checkpoints
        if pattern is None:
            continue
        cell = {"experiment": experiment, "network": network, "examples": examples, "seed": seed}
        try:
            check_imported(pattern.format(**cell, iteration=iteration), content=False)
        except UserError as error:
            raise UserError(f"networks.{network}.checkpoints: {error}") from None


def check_data(configuration: Configuration, experiment: str) -> None:
    """Raises UserError where the user's images are not there, or do not fit the experiment.

    Once they are stored, their folder may be gone.
    """
    name = configuration.experiments[experiment].dataset
    dataset = configuration.datasets[name]
    if dataset.folder is None:
        return
    stored = Path(configuration.results_dir, f"{places.DATA}.safetensors".format(dataset=name))
    if Path(configuration.data_dir, dataset.folder).exists() or not stored.exists():
        classes = dataset.classes_there(configuration.data_dir)
        try:
            configuration.check_classes(experiment, classes or {})
        except ValueError as error:
            raise UserError(str(error)) from None


def check_style(configuration: Configuration) -> None:
    """Raises UserError for colours that cannot be drawn: before any figure is deleted to be redrawn."""
    style = configuration.figures.style
    if style != FigureStyle():
        # Slow to import, and only those who change the style need it.
        from goodsubnet.plots.canvas import check_colours

        check_colours(style)


def check_nodes(configuration: Configuration, on_cluster: bool) -> None:
    """Raises UserError where workers are to be spread over nodes that this run does not have."""
    experiments = configuration.target_experiments
    used = {name for experiment in experiments for name in configuration.experiments[experiment].methods}
    for name in sorted(used):
        nodes = configuration.distributed(name).nodes
        if nodes > 1 and not on_cluster:
            raise UserError(
                f"methods.{name}.nodes: {nodes} are asked for, and this run stays on one machine; submit it "
                "(snakemake --workflow-profile profiles/slurm, see docs/cluster.md), or set nodes: 1"
            )
