"""The whole of config.yaml: its keys, and what must fit together."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from goodsubnet.errors import UserError
from goodsubnet.runtime import plugins
from goodsubnet.settings.answer import AnswerSettings
from goodsubnet.settings.base import Count, Iteration, Model, Name, Positive
from goodsubnet.settings.classes import check_groups, check_subset_size
from goodsubnet.settings.datasets import AnySource, SourceSettings
from goodsubnet.settings.faults import explain, model_of
from goodsubnet.settings.figures import Figures
from goodsubnet.settings.methods import (
    AnyMethod,
    BaselineLayerSettings,
    Distributed,
    MethodSettings,
    NeuronMethodSettings,
    algorithms,
    method_model,
)
from goodsubnet.settings.networks import AnyNetwork, DeepNetworkSettings, TwoLayer
from goodsubnet.settings.pruning_times import PruningTimes
from goodsubnet.settings.stages import Accuracy, ProbeSelection
from goodsubnet.settings.stopping import RuleSettings, Stopping
from goodsubnet.settings.theory import RandomMatrices, Theory
from goodsubnet.settings.training import AnyPretrain, DeepPretrain, Finetune, ResizedCrop

# They stand among the experiments in `targets` and in the results.
RANDOM_MATRICES = "random_matrices"
PRUNING_TIMES = "pruning_times"
NO_EXPERIMENTS = (RANDOM_MATRICES, PRUNING_TIMES)

BASES: dict[str, type[Model]] = {
    "sources": SourceSettings,
    "architectures": DeepNetworkSettings,
    "methods": MethodSettings,
    "rules": RuleSettings,
}
"""Kind of plug-in -> the model that the settings of all of them derive from."""


class Experiment(Model):
    """A sweep: every network, number of examples and seed, pruned at every checkpoint by every method."""

    dataset: Name = Field(description="a name under `datasets`")
    networks: Annotated[list[Name], Field(min_length=1)] = Field(description="names under `networks`")
    methods: Annotated[list[Name], Field(min_length=1)] = Field(description="names under `methods`")
    examples: Annotated[list[Count], Field(min_length=1)] = Field(description="sizes of the sub-datasets, in images")
    shares: Literal["equal", "data"] = Field(
        "equal", description="of each class in a sub-dataset: `equal`, or those of the `data`"
    )
    seeds: Annotated[list[Iteration], Field(min_length=1)] = Field(description="one trial each")
    pretrain: AnyPretrain = Field(
        description="how the dense network is trained; the keys of deep networks where `loss` is `cross_entropy`"
    )
    finetune: Finetune | None = Field(None, description="how a pruned deep network is trained further; null: not")
    validation_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="share of each class of a sub-dataset that is held out of training and pruning, and measured as "
        "`validation_accuracy`: to choose rates and tolerances by; deep networks only",
    )
    paper_table: Literal["table1", "table2"] | None = Field(
        None, description="the table of the paper whose numbers stand beside this experiment's"
    )

    @field_validator("networks", "methods", "examples", "seeds")
    @classmethod
    def _no_repeats(cls, values: list) -> list:
        repeated = sorted({str(value) for value in values if values.count(value) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} stands there more than once; name each once")
        return values


class Threads(Model):
    """Cores of a job. A sum depends on how it is split, so a changed number makes the stage's artifacts again."""

    pretrain: Count = Field(1, description="threads of a pretrain or finetune job")
    prune: Count = Field(1, description="threads of a prune or calibrate job, and of the evaluation of a deep network")


class SaveEvery(Model):
    """How often progress inside a segment is saved; the first that is due."""

    seconds: Positive = Field(60.0, description="seconds between saves")
    iterations: Count | None = Field(None, description="iterations between saves; null: only by time")


class Configuration(Model):
    """Everything that config.yaml may say."""

    data_dir: str = Field("data", description="where data sets lie, or are downloaded to")
    results_dir: str = Field("results", description="where everything is written")
    targets: Annotated[list[Name], Field(min_length=1)] = Field(
        description="what the default target makes: experiments, `random_matrices` and `pruning_times`"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="`auto`: an accelerator if there is one, else the CPU"
    )
    deterministic: bool = Field(
        True, strict=True, description="on an accelerator: only operations that give the same bits each time"
    )
    threads: Threads = Field(default_factory=Threads, description="cores of a job")
    readers: Iteration = Field(4, description="processes of a job that read images ahead, with `storage: files`")
    save_every: SaveEvery = Field(default_factory=SaveEvery, description="when progress is saved")
    keep_checkpoints: Literal["all", "last"] = Field(
        "all", description="`last`: a checkpoint is deleted once nothing needs it, but for the last of a network"
    )
    datasets: dict[Name, AnySource] = Field(description="data sets by name")
    networks: dict[Name, AnyNetwork] = Field(description="networks by name")
    methods: dict[Name, AnyMethod] = Field(description="pruning methods by name")
    experiments: dict[Name, Experiment] = Field(description="experiments by name")
    theory: Theory = Field(default_factory=Theory, description="what the theory's tables ask")
    stopping: Stopping = Field(default_factory=Stopping, description="rules that say when to stop pre-training")
    random_matrices: RandomMatrices = Field(default_factory=RandomMatrices, description="Figures 2 and 3")
    pruning_times: PruningTimes = Field(default_factory=PruningTimes, description="Figure 4")
    answer: AnswerSettings = Field(default_factory=AnswerSettings, description="what counts as enough")
    figures: Figures = Field(default_factory=Figures, description="how figures look")

    @model_validator(mode="after")
    def _names_exist(self) -> "Configuration":
        _known(
            "targets", [name for name in self.targets if name not in NO_EXPERIMENTS], self.experiments, "experiments"
        )
        for name, experiment in self.experiments.items():
            key = f"experiments.{name}"
            _known(f"{key}.dataset", [experiment.dataset], self.datasets, "datasets")
            _known(f"{key}.networks", experiment.networks, self.networks, "networks")
            _known(f"{key}.methods", experiment.methods, self.methods, "methods")
        for taken in ("data", *NO_EXPERIMENTS):
            if taken in self.experiments:
                raise ValueError(f"experiments.{taken}: this name is taken by <results_dir>/{taken}; choose another")
        return self

    @model_validator(mode="after")
    def _experiments_possible(self) -> "Configuration":
        for name, experiment in self.experiments.items():
            classes = self.datasets[experiment.dataset].classes()
            if classes is not None:
                self.check_classes(name, classes)
            self._check_kind(name)
            self._check_widths(name)
        return self

    def _check_kind(self, name: str) -> None:
        """Raises ValueError where the parts of an experiment are for different kinds of networks."""
        experiment, kind = self.experiments[name], self.kind_of(name)
        key = f"experiments.{name}"
        for network in experiment.networks:
            if self._kind_of_network(network) != kind:
                raise ValueError(
                    f"{key}.networks: {experiment.networks[0]} and {network} are of two kinds; make two experiments"
                )
        for method in experiment.methods:
            if self.methods[method].kind != kind:
                others = [other for other in algorithms() if method_model(other).kind == kind]
                raise ValueError(
                    f"{key}.methods: {method} ({self.methods[method].algorithm}) does not prune networks of kind "
                    f"{kind}; the algorithms that do are {', '.join(others)}"
                )
            source = self.widths_from(method)
            if source is not None and source not in experiment.methods:
                raise ValueError(f"{key}.methods: {method} takes its widths from {source}, which is not among them")
            if source is not None and self.widths_from(source) is not None:
                raise ValueError(f"methods.{method}.widths_from: {source} takes its own widths from another method")
        if (experiment.pretrain.loss == "cross_entropy") != (kind == "deep"):
            allowed = "cross_entropy" if kind == "deep" else "logistic or squared"
            raise ValueError(f"{key}.pretrain.loss: for networks of kind {kind} it is {allowed}")
        if kind == "two_layer":
            for unused in ("finetune", "paper_table", "validation_share"):
                if getattr(experiment, unused):
                    raise ValueError(f"{key}.{unused}: is for deep networks only; leave it out")
        self._check_images(key, experiment, kind)

    def _check_widths(self, name: str) -> None:
        """Raises ValueError where a network has fewer neurons than a method asks for."""
        experiment = self.experiments[name]
        pairs = [(network, method) for network in experiment.networks for method in experiment.methods]
        for network, method in pairs:
            chosen, asked = self.networks[network], self.methods[method]
            if not isinstance(chosen, TwoLayer) or not isinstance(asked, NeuronMethodSettings):
                continue
            workers, least, width = self.distributed(method).workers, asked.least_width, chosen.width
            if workers > width:
                raise ValueError(
                    f"experiments.{name}: method {method} has {workers} workers, and network {network} only "
                    f"{width} neurons; set fewer in methods.{method}.workers"
                )
            if least > width:
                raise ValueError(
                    f"experiments.{name}: method {method} asks for {least} distinct neurons, and network "
                    f"{network} has {width}; ask for fewer in methods.{method}, or raise the width"
                )

    def _check_images(self, key: str, experiment: Experiment, kind: str) -> None:
        """Raises ValueError where the images are not stored as the networks read them."""
        dataset = self.datasets[experiment.dataset]
        if dataset.streamed and kind == "two_layer":
            raise ValueError(f"{key}: a two-layer network reads images from memory; set storage: memory")
        channels = dataset.image()[0]
        for name in experiment.networks:
            mean = getattr(self.networks[name], "mean", None)
            if mean is not None and len(mean) != channels:
                raise ValueError(
                    f"networks.{name}.mean: has {len(mean)} numbers, and the images of {experiment.dataset} have "
                    f"{channels} channels; give one per channel"
                )
        pretrain = experiment.pretrain
        augmentation = pretrain.augmentation if isinstance(pretrain, DeepPretrain) else None
        if augmentation is not None and dataset.streamed != isinstance(augmentation, ResizedCrop):
            wanted = "{scale: [0.2, 1.0]}" if dataset.streamed else "{padding: 4}"
            raise ValueError(
                f"{key}.pretrain.augmentation: images with storage: {'files' if dataset.streamed else 'memory'} are "
                f"varied by {wanted}; give that, or null"
            )

    def check_classes(self, name: str, classes: Mapping[str, int]) -> None:
        """Raises ValueError where the data set of experiment `name`, with these classes, does not fit its settings.

        classes: name -> training images.
        """
        experiment, class_names = self.experiments[name], list(classes)
        groups = self.datasets[experiment.dataset].groups
        key = f"datasets.{experiment.dataset}.groups"
        try:
            if groups is not None:
                check_groups(groups, class_names)
        except UserError as error:
            raise ValueError(f"{key}: {error}") from None
        if groups is None and len(class_names) != 2 and self.kind_of(name) == "two_layer":
            raise ValueError(
                f"{key}: a two-layer network has one output and tells two labels apart, and there are "
                f"{len(class_names)} classes; give two lists of classes"
            )
        if len(class_names) == 1:
            raise ValueError(
                f"datasets.{experiment.dataset}: there is one class, {class_names[0]}, and nothing to tell it from; "
                "add images of another"
            )
        for examples in experiment.examples:
            try:
                check_subset_size(list(classes.values()), examples, experiment.shares, class_names)
            except UserError as error:
                raise ValueError(f"experiments.{name}.{error}") from None

    # ---- what is asked of it

    @property
    def target_experiments(self) -> list[str]:
        """The experiments among the targets, without those that are switched off."""
        return [name for name in self.targets if name not in NO_EXPERIMENTS and not self.switched_off(name)]

    def switched_off(self, name: str) -> bool:
        """Whether a target is an experiment whose data are not named."""
        return name not in NO_EXPERIMENTS and self.datasets[self.experiments[name].dataset].switched_off

    def kind_of(self, experiment: str) -> Literal["two_layer", "deep"]:
        """The kind of networks of an experiment."""
        return self._kind_of_network(self.experiments[experiment].networks[0])

    def _kind_of_network(self, network: str) -> Literal["two_layer", "deep"]:
        return "two_layer" if isinstance(self.networks[network], TwoLayer) else "deep"

    def two_layer(self, network: str) -> TwoLayer:
        """A two-layer network. Raises TypeError for others."""
        chosen = self.networks[network]
        if not isinstance(chosen, TwoLayer):
            raise TypeError(f"{network} is not a two-layer network")
        return chosen

    def deep(self, network: str) -> DeepNetworkSettings:
        """A deep network. Raises TypeError for others."""
        chosen = self.networks[network]
        if not isinstance(chosen, DeepNetworkSettings):
            raise TypeError(f"{network} is not a deep network")
        return chosen

    def widths_from(self, method: str) -> str | None:
        """The method whose number of channels a method takes, if it does."""
        chosen = self.methods[method]
        return chosen.widths_from if isinstance(chosen, BaselineLayerSettings) else None

    def distributed(self, method: str) -> Distributed:
        """Who runs a method together; one worker, where it cannot be shared."""
        chosen = self.methods[method]
        return chosen if isinstance(chosen, Distributed) else Distributed()

    def judged_accuracy(self, experiment: str) -> Accuracy:
        """The accuracy that says how good a subnetwork is; Tables 1 and 2 are of the test accuracy."""
        return "test_accuracy" if self.kind_of(experiment) == "deep" else self.figures.accuracy

    def observing_selection(self, experiment: str) -> ProbeSelection:
        """How neurons are selected where a checkpoint is observed.

        `stopping.steps`; without it, as the experiment's first greedy method selects, or as many steps as its first
        method.
        """
        if self.stopping.steps is not None:
            return ProbeSelection(steps=self.stopping.steps)
        methods = [self.methods[name] for name in self.experiments[experiment].methods]
        chosen = [each for each in methods if isinstance(each, NeuronMethodSettings)]
        method = next((each for each in chosen if each.algorithm == "greedy"), chosen[0])
        if method.steps is not None:
            return ProbeSelection(steps=method.steps)
        return ProbeSelection(distinct=method.size, max_steps=getattr(method, "max_steps", method.size))


def _known(key: str, names: Sequence[str], entries: Mapping[str, object], where: str) -> None:
    for name in names:
        if name not in entries:
            raise ValueError(f"{key}: {name!r} is not under `{where}` (there: {', '.join(sorted(entries))})")


def load_configuration(raw: Mapping[str, object]) -> Configuration:
    """Check a configuration as read from YAML.

    Raises UserError with a line for each fault: the key, the value and what is allowed; and for a user's plug-in that
    is invalid.
    """
    try:
        # A faulty user file is reported before any job, whether it is used or not.
        for kind, base in BASES.items():
            for name, plugin in plugins.found(kind).items():
                if plugin.path is not None:
                    model_of(kind, name, base)
        return Configuration.model_validate(raw)
    except ValidationError as error:
        raise UserError("the configuration is not valid:\n  " + "\n  ".join(explain(error))) from None
    except ValueError as error:
        raise UserError(str(error)) from None
