"""`goodsubnet import`: checkpoints trained elsewhere become files that the chain takes in place of `pretrain`."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydantic import JsonValue

from goodsubnet.errors import UserError
from goodsubnet.exchange.foreign import fitted_two_layer, load_state, read_state
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.jobs import Job
from goodsubnet.settings.configuration import Configuration
from goodsubnet.settings.networks import TwoLayerArchitecture
from goodsubnet.settings.stages import StageSettings

Fit: TypeAlias = Callable[[Path, Mapping[str, np.ndarray]], dict[str, np.ndarray]]
FILE = "iteration-{iteration}.safetensors"
"""What a file is called where only a folder was named."""


class ImportSettings(StageSettings):
    """architecture: of the network. source: the SHA-256 of what was imported."""

    architecture: dict[str, JsonValue]
    source: str


def import_checkpoints(
    paths: Sequence[Path],
    configuration: Configuration,
    network: str,
    experiment: str | None = None,
    output: str | None = None,
    numbers: Mapping[str, int | None] | None = None,
) -> list[Path]:
    """Convert checkpoints to files that the configuration's pattern names, and return these files.

    experiment: which one's images the network is for, where several use it. output: a pattern or a folder, in place of
    the network's `checkpoints`. numbers: `examples`, `seed` and `iteration` of the checkpoints where their paths do not
    say them ("examples-200/seed-0/", and the last number of a name). Each file has a sidecar, which names the source,
    its SHA-256 and what was done. Raises UserError naming the file and what does not fit, before it is written.
    """
    if network not in configuration.networks:
        raise UserError(f"{network!r} is not under `networks` (there: {', '.join(sorted(configuration.networks))})")
    experiment = _experiment_of(configuration, network, experiment)
    pattern = _pattern(configuration, network, output)
    given = {name: number for name, number in (numbers or {}).items() if number is not None}
    if "iteration" in given and len(paths) > 1:
        raise UserError(f"--iteration: {given['iteration']} is given for {len(paths)} checkpoints; import them singly")
    fit = _fit(configuration, experiment, network)
    cells = {path: _numbers_in(path, pattern, given) for path in paths}
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
        wildcards: dict[str, str | int] = {"experiment": experiment, "network": network, **cells[path]}
        with Job("import", place, _settings(configuration, network, source["sha256"]), {}, **wildcards) as job:
            job.facts["source"] = {**source, "done": [*done]}
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
    """Raises UserError where there is a file that this command did not write."""
    if not place.exists():
        return
    try:
        ours = artifacts.read_provenance(place)["stage"] == "import"
    except (UserError, KeyError):
        ours = False
    if not ours:
        raise UserError(f"{place} is there and was not imported; move it away, or name another place")


def _settings(configuration: Configuration, network: str, source: str) -> ImportSettings:
    architecture = configuration.networks[network].as_architecture()
    if isinstance(architecture, TwoLayerArchitecture):
        return ImportSettings(architecture=architecture.model_dump(mode="json"), source=source)
    return ImportSettings(architecture=architecture, source=source)


def _fit(configuration: Configuration, experiment: str, network: str) -> Fit:
    """A function (path, state) that returns the network's tensors, or raises UserError where they are not its own."""
    dataset = configuration.datasets[configuration.experiments[experiment].dataset]
    channels, height, width = dataset.image()
    size = None if height is None or width is None else (channels, height, width)
    architecture = configuration.networks[network].as_architecture()
    if isinstance(architecture, TwoLayerArchitecture):
        neurons, inputs = architecture.width, int(np.prod(size)) if size else None
        return lambda path, state: fitted_two_layer(path, state, neurons, inputs)
    from goodsubnet.networks.deep import build
    from goodsubnet.networks.layers import check_prunable

    there = dataset.classes() or dataset.classes_there(configuration.data_dir) or {}
    classes = len(dataset.groups or there)
    built = build(architecture, classes, [0.0] * channels, [1.0] * channels)
    if size:
        check_prunable(built, size, classes)

    def fit(path: Path, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        load_state(path, state, built.network)
        return {name: tensor.numpy() for name, tensor in built.network.state_dict().items()}

    return fit
