"""`goodsubnet import`: checkpoints trained elsewhere become files that the chain takes in place of `pretrain`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodsubnet import artifacts
from goodsubnet.data.folder import train_class_counts
from goodsubnet.data.known import known_class_names, known_image
from goodsubnet.errors import UserError
from goodsubnet.foreign import fitted_two_layer, load_state, read_state
from goodsubnet.jobs import Job
from goodsubnet.settings import Configuration

FILE = "iteration-{iteration}.safetensors"
"""What a file is called where only a folder was named."""


def import_checkpoints(
    paths: Sequence[Path],
    configuration: Configuration,
    network: str,
    experiment: str | None = None,
    output: str | None = None,
    numbers: Mapping[str, int | None] | None = None,
) -> list[Path]:
    """Convert checkpoints to files that the configuration's pattern names, and return these.

    experiment: which one's images the network is for, where several use it. output: a pattern or a folder, in place of
    the network's `checkpoints`. numbers: `examples`, `seed` and `iteration` of the checkpoints where their paths do not
    say them ("examples-200/seed-0/", and the last number of a name). Each file has a sidecar, which names the source,
    its SHA-256 and what was done. Raises UserError naming the file and what does not fit, before it is written.
    """
    if network not in configuration.networks:
        raise UserError(f"{network!r} is not under `networks` (there: {', '.join(sorted(configuration.networks))})")
    experiment = _experiment_of(configuration, network, experiment)
    pattern = _pattern(configuration, network, output)
    numbers = {name: number for name, number in (numbers or {}).items() if number is not None}
    if "iteration" in numbers and len(paths) > 1:
        raise UserError(
            f"--iteration: {numbers['iteration']} is given for {len(paths)} checkpoints; import them singly"
        )
    settings = {"architecture": configuration.networks[network].as_architecture()}
    fit = _fit(configuration, experiment, settings["architecture"])
    cells = {path: _numbers_in(path, pattern, numbers) for path in paths}
    sources: dict[Path, Path] = {}
    for path in paths:
        place = Path(pattern.format(experiment=experiment, network=network, **cells[path]))
        if place in sources:
            raise UserError(f"{path} and {sources[place]} would both become {place}; import one of them")
        _refuse_others_files(place)
        sources[place] = path
    for place, path in sources.items():
        state, done = read_state(path)
        tensors = fit(path, state)
        source = {"name": Path(path).name, "sha256": artifacts.sha256(path)}
        wildcards = {"experiment": experiment, "network": network, **cells[path]}
        with Job("import", place, {**settings, "source": source["sha256"]}, {}, **wildcards) as job:
            job.facts["source"] = {**source, "done": done}
            job.save_tensors(tensors)
    return list(sources)


def _experiment_of(configuration: Configuration, network: str, experiment: str | None) -> str:
    users = [name for name, each in configuration.experiments.items() if network in each.networks]
    if experiment is not None:
        if experiment not in users:
            raise UserError(
                f"--experiment: {experiment} does not use {network}; these do: {', '.join(users) or 'none'}"
            )
        return experiment
    if not users:
        raise UserError(f"no experiment uses the network {network}, so its images are not known; add it to one")
    if len({configuration.experiments[name].dataset for name in users}) > 1:
        raise UserError(f"{', '.join(users)} use {network} with other images each; say which one by --experiment")
    return users[0]


def _pattern(configuration: Configuration, network: str, output: str | None) -> str:
    pattern = output or configuration.networks[network].checkpoints
    if pattern is None:
        raise UserError(
            f"networks.{network} has no key checkpoints, a pattern of the files that take the place of its training; "
            "write it, or give --output"
        )
    return pattern if pattern.endswith(".safetensors") else f"{pattern.rstrip('/')}/{FILE}"


def _numbers_in(path: Path, pattern: str, given: Mapping[str, int]) -> dict[str, int]:
    """The numbers that fill a pattern: those that were given, else those that the path says."""
    found = dict(given)
    for name in ("examples", "seed", "iteration"):
        if f"{{{name}}}" not in pattern or name in found:
            continue
        by_name = name == "iteration"
        told = re.findall(r"\d+", Path(path).stem) if by_name else re.findall(rf"{name}-(\d+)", str(path))
        if not told:
            raise UserError(f"{path}: its {name} is not in its name; give --{name}, which {pattern} asks for")
        found[name] = int(told[-1])
    unknown = [name for name in re.findall(r"{(.*?)}", pattern) if name not in (*found, "experiment", "network")]
    if unknown:
        raise UserError(
            f"--output: {{{unknown[0]}}} is no wildcard; experiment, network, examples, seed, iteration are"
        )
    return found


def _refuse_others_files(place: Path) -> None:
    """Raises UserError where something lies that this command did not write."""
    if not place.exists():
        return
    try:
        ours = artifacts.read_provenance(place)["stage"] == "import"
    except (UserError, KeyError):
        ours = False
    if not ours:
        raise UserError(f"{place} is there and was not imported; move it away, or name another place")


def _fit(configuration: Configuration, experiment: str, architecture: Mapping[str, Any]):
    """A function (path, state) that returns the network's tensors, or raises UserError where they are not its own."""
    dataset = configuration.datasets[configuration.experiments[experiment].dataset]
    channels, height, width = known_image(dataset.model_dump())
    size = None if height is None else (channels, height, width)
    if architecture["kind"] == "two_layer":
        inputs = int(np.prod(size)) if size else None
        return lambda path, state: fitted_two_layer(path, state, architecture["width"], inputs)
    from goodsubnet.networks.deep import build
    from goodsubnet.stages.deep.dense import check_dense

    names = known_class_names(dataset.model_dump())
    if names is None:
        names = list(train_class_counts(dataset.path, configuration.data_dir))
    classes = len(dataset.groups or names)
    network = build(architecture, classes, [0.0] * channels, [1.0] * channels)
    if size:
        check_dense(network, size, classes)

    def fit(path: Path, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        load_state(path, state, network.network)
        return {name: tensor.numpy() for name, tensor in network.network.state_dict().items()}

    return fit
