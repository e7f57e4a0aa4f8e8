"""A folder in which checkpoints are being written, watched: each is observed once it is complete, and judged.

Files are `iteration-<t>.safetensors`, of the chain or a bare state, or `iteration-<t>.pt`, a state that torch saved. A
file is read once two successive checks have found it unchanged, and complete by its own account.
"""

import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from goodsubnet.data.inputs import network_inputs
from goodsubnet.data.preparation import prepared
from goodsubnet.data.subsets import draw_subset, hold_out
from goodsubnet.errors import UserError
from goodsubnet.networks.two_layer import initial_weights_of
from goodsubnet.runtime import artifacts
from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.machine import Machine
from goodsubnet.settings import places
from goodsubnet.settings.configuration import Configuration
from goodsubnet.settings.networks import TwoLayerArchitecture
from goodsubnet.settings.training import Pretrain
from goodsubnet.stopping.judging import Judge, Judgement
from goodsubnet.stopping.observation import Observation, draw_probe
from goodsubnet.training.losses import targets_of

Observe: TypeAlias = Callable[[Path, Mapping[str, np.ndarray], int], Observation]
NAME = re.compile(r"iteration-(\d+)\.(safetensors|pt)")
OTHERS = (".safetensors", ".pt", ".pth", ".ckpt")
# A second look after this long, where each file is read once; and how long one may stay unreadable before it is named.
BETWEEN_LOOKS, PATIENCE = 0.3, 60.0


class Trial:
    """One training of an experiment: its network, and the probe of its sub-dataset.

    network, examples, seed: None stands for the first network, the largest size
    and the first seed. Raises UserError for names that are not there, and for data that cannot be read.
    """

    def __init__(
        self,
        configuration: Configuration,
        experiment: str,
        network: str | None = None,
        examples: int | None = None,
        seed: int | None = None,
    ) -> None:
        if experiment not in configuration.experiments:
            known = ", ".join(sorted(configuration.experiments))
            raise UserError(f"experiment {experiment!r} is not in the configuration (there: {known})")
        chosen = configuration.experiments[experiment]
        self.configuration, self.experiment, self.chosen = configuration, experiment, chosen
        self.network = chosen.networks[0] if network is None else network
        self.seed = chosen.seeds[0] if seed is None else seed
        self.examples = max(chosen.examples) if examples is None else examples
        if self.network not in configuration.networks:
            known = ", ".join(sorted(configuration.networks))
            raise UserError(f"network {self.network!r} is not in the configuration (there: {known})")
        self.architecture = configuration.networks[self.network].as_architecture()
        self.kind = configuration.kind_of(experiment)
        if isinstance(self.architecture, TwoLayerArchitecture) != (self.kind == "two_layer"):
            raise UserError(f"network {self.network} is not of the kind of experiment {experiment}, {self.kind}")
        self.data, self.subset = self._sources()
        count = len(self.subset["indices"])
        self.probe = draw_probe(count, configuration.stopping.probe, self.seed)
        self._first: Mapping[str, np.ndarray] | None = None
        architecture, training = self.architecture, self.chosen.pretrain
        self._observe: Observe
        if isinstance(architecture, TwoLayerArchitecture) and isinstance(training, Pretrain):
            self._observe = self._prepare_two_layer(architecture, training)
        elif not isinstance(architecture, TwoLayerArchitecture):
            self._observe = self._prepare_deep(architecture)

    def _sources(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The data set and the sub-dataset: as the chain stored them where it did, else made here."""
        results, dataset = Path(self.configuration.results_dir), self.chosen.dataset
        names = {"experiment": self.experiment, "examples": self.examples, "seed": self.seed, "dataset": dataset}
        stored, subset = (results / f"{place}.safetensors".format(**names) for place in (places.DATA, places.SUBSET))
        if stored.exists() and subset.exists():
            for path in (stored, subset):
                artifacts.verify(path)
            return artifacts.map_tensors(stored), artifacts.map_tensors(subset)
        data = prepared(self.configuration.datasets[dataset], self.configuration.data_dir)
        classes, shares = data["train_classes"], self.chosen.shares
        drawn = draw_subset(classes, self.examples, self.seed, shares, name=dataset)
        held = hold_out(classes, drawn, self.chosen.validation_share, self.seed, name=dataset)
        return data, dict(zip(("indices", "validation"), held, strict=True))

    @property
    def total(self) -> int:
        """The planned iterations."""
        return self.chosen.pretrain.iterations

    def observe(self, path: Path, iteration: int) -> Observation:
        """Raises UserError, naming the file, for a checkpoint of another network, or not made of finite numbers."""
        try:
            tensors = self._tensors_of(path)
            for name, array in tensors.items():
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise UserError(f"{name} has weights that are not finite numbers: the training diverged")
            return self._observe(path, tensors, iteration)
        except (UserError, ValueError) as error:
            words = str(error)
            raise UserError(words if str(path) in words else f"{path}: {words}") from None

    def _tensors_of(self, path: Path) -> dict[str, np.ndarray]:
        if path.suffix == ".safetensors":
            tensors = artifacts.map_tensors(path)
            if ("description" if self.kind == "deep" else "a") in tensors:
                return tensors
        from goodsubnet.exchange.foreign import checkpoint_tensors

        classes, image = int(self.data["train_labels"].max()) + 1, self._image()
        # A network that was trained elsewhere may have been given images that were normalised otherwise.
        network = self.configuration.networks[self.network]
        mean, deviation = (getattr(network, name, None) or self.data[name].tolist() for name in ("mean", "std"))
        return checkpoint_tensors(path, self.architecture, classes, mean, deviation, image)

    def _image(self) -> tuple[int, ...]:
        return tuple(self.data["image"].tolist() if "image" in self.data else self.data["train_images"].shape[1:])

    def _of_the_chain(self, path: Path) -> bool:
        """Whether this training's own chain wrote the file, so that its initial weights are known."""
        try:
            recorded = artifacts.read_provenance(path)
            names = {name: recorded["settings"].get(name) for name in ("experiment", "network", "architecture")}
            seed = recorded["wildcards"].get("seed")
        except (UserError, KeyError):
            return False
        architecture = self.architecture
        if isinstance(architecture, TwoLayerArchitecture):
            architecture = architecture.model_dump(mode="json")
        mine = {"experiment": self.experiment, "network": self.network, "architecture": architecture}
        return recorded["stage"] == "pretrain" and names == mine and seed == self.seed

    # ---- two-layer networks

    def _prepare_two_layer(self, architecture: TwoLayerArchitecture, training: Pretrain) -> Observe:
        from goodsubnet.stopping.two_layer import observe

        rows = self.subset["indices"][self.probe]
        inputs = network_inputs(self.data["train_images"][rows], int(self.data["pixel_max"][0]), training.inputs)
        targets = targets_of(self.data["train_labels"][rows], training.loss)

        def observed(path: Path, tensors: Mapping[str, np.ndarray], iteration: int) -> Observation:
            wanted = {"a": (architecture.width, inputs.shape[1]), "b": (architecture.width,)}
            for name, shape in wanted.items():
                found = tensors[name].shape if name in tensors else "not there"
                if found != shape:
                    raise UserError(f"the tensor {name} is {found}, and network {self.network} has {shape}")
            weights = {name: np.asarray(tensors[name], np.float32) for name in "ab"}
            if self._first is None:
                names = (self.experiment, self.network, self.seed)
                known = self._of_the_chain(path)
                self._first = initial_weights_of(architecture, inputs.shape[1], *names) if known else weights
            return observe(
                weights,
                inputs,
                targets,
                self._first,
                iteration,
                activation=architecture.activation,
                loss=training.loss,
                selection=self.configuration.observing_selection(self.experiment),
                threads=self.configuration.threads.prune,
            )

        return observed

    # ---- deep networks

    def _prepare_deep(self, architecture: Mapping[str, Json]) -> Observe:
        import torch

        from goodsubnet.networks import files
        from goodsubnet.networks.deep import initial_network
        from goodsubnet.stopping.deep import observe, weights_of
        from goodsubnet.training.images import images_of

        # The rest of the machine belongs to the training that is being watched.
        torch.set_num_threads(self.configuration.threads.prune)
        machine = Machine(data_dir=self.configuration.data_dir)
        images, labels = images_of(self.data, self.subset, machine, "cpu", "train").take(self.probe)
        classes, shape = int(self.data["train_labels"].max()) + 1, list(self._image())
        share = self.configuration.stopping.share

        def observed(path: Path, tensors: Mapping[str, np.ndarray], iteration: int) -> Observation:
            network, description = files.decode(tensors)
            weights = weights_of(network)
            mean, deviation = (values.flatten().tolist() for values in (network.mean, network.std))
            if (description["classes"], description["image"]) != (classes, shape):
                raise UserError(
                    f"the network is for {description['classes']} classes of images {description['image']}, and the "
                    f"data have {classes} of {shape}"
                )
            names = (self.experiment, self.network, self.seed)
            untrained = weights_of(initial_network(architecture, classes, mean, deviation, *names))
            shapes = [{name: array.shape for name, array in each.items()} for each in (weights, untrained)]
            if different := sorted(
                name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)
            ):
                found, wanted = (each.get(different[0], "not there") for each in shapes)
                raise UserError(f"the tensor {different[0]} is {found}, and network {self.network} has {wanted}")
            if self._first is None:
                self._first = untrained if self._of_the_chain(path) else weights
            return observe(network, images, labels, self._first, iteration, share=share)

        return observed


def watch(
    folder: Path, trial: Trial, rule: str, *, once: bool = False, poll: float = 5.0, say: Callable[[str], None] = print
) -> bool:
    """Observe the checkpoints of `folder` in order, report what the rule says about each, and end when it is enough.

    rule: a name under `stopping.rules`. once: end after those that are there. poll: seconds between two looks. Returns
    whether it was enough: False at the last planned iteration, or at the end of the files with `once`.
    Raises UserError for an unknown rule, a folder that is not there, with `once` one without checkpoints, and for a
    checkpoint that does not fit.
    """
    rules = trial.configuration.stopping.rules
    if rule not in rules:
        raise UserError(f"rule {rule!r} is not under stopping.rules (there: {', '.join(rules)})")
    judge = Judge(rules[rule], trial.total)
    probe = f"{len(trial.probe):,} of {len(trial.subset['indices']):,} training images"
    say(f"watching {folder} by the rule {rule}; measured on {probe}")
    for iteration, path in arriving(folder, once=once, poll=poll, say=say):
        try:
            judged: Judgement = judge(trial.observe(path, iteration))
        except FileNotFoundError:
            say(f"{path.name} is gone: left out")
            continue
        say(str(judged))
        if judged.enough:
            return True
        if iteration >= trial.total:
            say(f"the planned {trial.total:,} iterations are done, and the rule {rule} did not say enough")
            return False
    return False


def arriving(
    folder: Path, *, once: bool, poll: float, say: Callable[[str], None] = print, patience: float = PATIENCE
) -> Iterator[tuple[int, Path]]:
    """Iteration and path of each checkpoint in a folder, in rising order, once it is complete.

    A file that stays unchanged and incomplete for `patience` seconds is named, and left out. One that appears after a
    later one was given is no longer given. Without `once` this goes on for ever. Raises UserError where there is no
    such folder, or, with `once`, no checkpoint in it.
    """
    before: dict[Path, tuple[int, int] | None] = {}
    since: dict[Path, float] = {}
    left_out: set[Path] = set()
    last, waiting = -1, False
    while True:
        found = checkpoints(folder)
        if not found and once:
            raise UserError(nothing_in(folder))
        if not found and not waiting:
            say(f"{nothing_in(folder)}; waiting")
            waiting = True
        looks = {path: look_at(path) for path in found.values()}
        changed = {path for path, look in looks.items() if look is None or before.get(path) != look}
        since |= dict.fromkeys(changed, time.monotonic())
        before = looks
        for iteration, path in sorted(found.items()):
            if iteration <= last or path in left_out:
                continue
            if path in changed:
                break
            if not complete(path):
                if not once and time.monotonic() - since[path] < patience:
                    break
                say(f"{path.name} is not complete: left out; if nobody is writing it, delete it")
                left_out.add(path)
                continue
            last = iteration
            yield iteration, path
        else:
            if once:
                return
        time.sleep(min(poll, BETWEEN_LOOKS) if once or changed else poll)


def checkpoints(folder: Path) -> dict[int, Path]:
    """iteration -> file; of two of the same iteration, the one in safetensors. Hidden files are still being written."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the one that checkpoints are written to")
    names = sorted(path.name for path in folder.iterdir())
    matches = [match for name in names if (match := NAME.fullmatch(name))]
    # .pt comes before .safetensors, and gives way to it.
    return {int(match[1]): folder / match[0] for match in sorted(matches, key=lambda match: match[2])}


def nothing_in(folder: Path) -> str:
    """What to say about a folder without checkpoints."""
    others = sorted(path.name for path in folder.iterdir() if path.suffix in OTHERS and not path.name.startswith("."))
    wanted = f"{folder} holds no checkpoints named iteration-<t>.safetensors or iteration-<t>.pt"
    return f"{wanted}, but {others[0]}: give it such a name" if others else wanted


def look_at(path: Path) -> tuple[int, int] | None:
    """Size and time of last change; None for a file that is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def complete(path: Path) -> bool:
    """Whether a file is as long as its header says, or, of torch, an archive with its end."""
    try:
        if path.suffix == ".pt":
            # Those from before torch 1.6 are not archives, and say nothing about their length.
            return zipfile.is_zipfile(path) or path.read_bytes()[:2] == b"\x80\x02"
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                return False
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return path.stat().st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError):
        return False
