"""The configuration as typed models: the one place that says what a key means, its unit, default and range.

The JSON schema (config/schema.json) and the table of config/README.md are generated from these models.
Imports nothing heavy, because the workflow is parsed with it.
"""

import difflib
import importlib
import itertools
import pkgutil
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from goodsubnet.data.known import known_class_names, known_train_class_counts
from goodsubnet.data.labels import check_groups
from goodsubnet.data.subsets import check_subset_size
from goodsubnet.errors import UserError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Count = Annotated[int, Field(ge=1, strict=True)]
Iteration = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Loss = Literal["logistic", "squared"]
RANDOM_MATRICES = "random_matrices"  # stands among the experiments in `targets` and in the results


class Model(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Mnist(Model):
    """MNIST (60,000 training and 10,000 test digits), through torchvision; downloaded if absent."""

    source: Literal["mnist"] = Field(description="where the images come from")
    groups: list[list[str]] | None = Field(
        None, description="two lists of class names: the first list becomes label 0, the second label 1"
    )


class Digits(Model):
    """The 1,797 handwritten digits that scikit-learn ships; no download."""

    source: Literal["digits"] = Field(description="where the images come from")
    groups: list[list[str]] | None = Field(None, description="as for `mnist`")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of each class kept for the test set")


class Folder(Model):
    """Your own images: `<path>/train/<class>/*` and `<path>/test/<class>/*`."""

    source: Literal["folder"] = Field(description="where the images come from")
    path: str = Field(description="the folder; relative to `data_dir` unless absolute")
    channels: Literal[1, 3] = Field(1, description="1: converted to grey, 3: to RGB")
    size: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        None, description="[height, width] in pixels to resize to; null: all images must be of one size"
    )
    groups: list[list[str]] | None = Field(None, description="as for `mnist`")


class TwoLayer(Model):
    """A hidden layer whose neurons' outputs are averaged: f(x) = (1/N) sum_i b_i act(a_i . x)."""

    kind: Literal["two_layer"] = Field(description="the architecture")
    width: Count = Field(description="hidden neurons, N")
    activation: Literal["relu", "tanh"] = Field("relu", description="`act` of the hidden layer")
    initialisation: Literal["scaled", "unit"] = Field(
        "scaled", description="a_i ~ N(0, I/d) (`scaled`) or N(0, I) (`unit`, the theory's); b_i ~ N(0, 1)"
    )


class EveryCheckpoint(Model):
    every: Count = Field(description="a checkpoint at 0 and then every so many iterations")


class StableFraction(Model):
    stable_fraction: Positive = Field(
        description="share of the largest stable step of gradient descent at initialisation: 2 over the largest "
        "curvature of the loss, which is computed for each sub-dataset and seed"
    )


# The branch is told from the value, so that a fault is that of one branch.
LearningRate = Annotated[
    Annotated[Positive, Tag("union[number]")] | Annotated[StableFraction, Tag("union[fraction]")],
    Discriminator(lambda value: f"union[{'fraction' if isinstance(value, Mapping | StableFraction) else 'number'}]"),
]


class Pretrain(Model):
    """How the dense network is trained."""

    loss: Loss = Field("logistic", description="`logistic` (labels 0, 1) or `squared` (labels -1, 1)")
    iterations: Count = Field(description="length of the training, in iterations")
    checkpoints: EveryCheckpoint | Annotated[list[Iteration], Field(min_length=1)] = Field(
        description="iterations at which a checkpoint is kept and pruned: a rising list, or `every: n`"
    )
    batch_size: Count | Literal["full"] = Field(128, description="images in a batch, or `full`")
    learning_rate: LearningRate = Field(
        description="step of gradient descent on the mean loss of a batch; or `stable_fraction: s`, with "
        "`batch_size: full`: s times the largest stable step at initialisation, of each sub-dataset and seed"
    )
    lr_scaling: Literal["per_neuron", "plain"] = Field(
        "per_neuron", description="`per_neuron` multiplies the step by the width N, `plain` does not"
    )
    inputs: Literal["unit_range", "unit_length"] = Field(
        "unit_range", description="pixels in [0, 1], or each image scaled to length 1 (the theory's)"
    )

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _list_or_every(cls, value: Any) -> Any:
        if not isinstance(value, list) and not (isinstance(value, Mapping) and set(value) == {"every"}):
            raise ValueError(f"a rising list of iterations, as [0, 100, 500], or {{every: n}}, not {value!r}")
        return value

    @model_validator(mode="after")
    def _stable_for_whole_batches(self) -> "Pretrain":
        if isinstance(self.learning_rate, StableFraction) and self.batch_size != "full":
            raise ValueError(
                "learning_rate.stable_fraction is of the step that is stable on the whole sub-dataset; "
                "set batch_size: full, or give the rate as a number"
            )
        return self

    @model_validator(mode="after")
    def _checkpoints_in_order(self) -> "Pretrain":
        marks = self.checkpoint_iterations
        if any(later <= earlier for earlier, later in itertools.pairwise(marks)):
            raise ValueError(f"checkpoints must rise, and {marks} does not; write them in rising order")
        if marks[-1] > self.iterations:
            raise ValueError(
                f"checkpoint {marks[-1]} lies beyond iterations = {self.iterations}; "
                "raise iterations or drop the checkpoint"
            )
        if isinstance(self.checkpoints, EveryCheckpoint) and self.iterations % self.checkpoints.every:
            raise ValueError(
                f"iterations = {self.iterations} is not a multiple of checkpoints.every = "
                f"{self.checkpoints.every}, so the end of training would have no checkpoint"
            )
        return self

    @property
    def checkpoint_iterations(self) -> list[int]:
        if isinstance(self.checkpoints, EveryCheckpoint):
            return list(range(0, self.iterations + 1, self.checkpoints.every))
        return list(self.checkpoints)


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
    pretrain: Pretrain = Field(description="how the dense network is trained")

    @field_validator("networks", "methods", "examples", "seeds")
    @classmethod
    def _no_repeats(cls, values: list) -> list:
        repeated = sorted({str(value) for value in values if values.count(value) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} stands there more than once; name each once")
        return values


class Threads(Model):
    """Cores of a job. A sum depends on how it is split, so a changed number makes the stage's artifacts again."""

    pretrain: Count = Field(1, description="threads of a pretrain job")
    prune: Count = Field(1, description="threads of a prune job")


class SaveEvery(Model):
    """How often progress inside a segment is saved; the first that is due."""

    seconds: Positive = Field(60.0, description="seconds between saves")
    iterations: Count | None = Field(None, description="iterations between saves; null: only by time")


class FigureStyle(Model):
    """How figures look; none of it changes a number."""

    colormap: str = Field(
        "viridis", description="a Matplotlib colour map; one of monotone lightness prints well in grey"
    )
    color_norm: Literal["power", "log", "linear"] = Field(
        "power",
        description="what colours and accuracy axes spread evenly: `power`, the cube root of the error; `log`, its "
        "logarithm (no error is drawn as half the smallest other one); `linear`, the accuracy",
    )
    red_line: str = Field("#e3001b", description="colour of the required pre-training")
    dpi: Annotated[int, Field(ge=10, le=2400, strict=True)] = Field(300, description="dots an inch of PNG files")
    width_inches: float = Field(7.0, ge=4, le=40, description="largest width of a figure, in inches")


class Figures(FigureStyle):
    """What figures show and how they look; a change only redraws."""

    accuracy: Literal["train_accuracy", "test_accuracy"] = Field(
        "train_accuracy", description="the accuracy of Figure 1, the curves and required_pretraining.csv"
    )


class Theory(Model):
    """What the theory's tables ask of an experiment that is pruned greedily."""

    threshold_margin: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="the measured threshold: from there on the subnetwork's loss is above its lowest by at most this "
        "share of the way from the first checkpoint down to the lowest",
    )
    certificate_margin: Positive = Field(
        0.1,
        description="the certificate: the proved bound is at most this share of the trivial predictor's loss above the "
        "dense network's",
    )
    error: Positive = Field(
        0.01, description="mean loss above the dense network's for which Lemma 1's number of steps is computed"
    )


class SmallestSingularValues(Model):
    """Figure 2: the smallest singular value of tanh(X W^T), X of length-1 rows, against the width."""

    examples: Annotated[list[Count], Field(min_length=1)] = Field([50, 100, 200], description="rows of X, m")
    inputs: Annotated[list[Count], Field(min_length=1)] = Field([10, 50, 100], description="columns of X and W, d")
    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        [500, 1000, 2000, 4000, 8000, 16000], description="rows of W, N"
    )
    least_ratio: Positive = Field(10, description="widths below so many times the examples are left out")
    draws: Count = Field(10, description="matrices drawn for each")


class ConditionNumbers(Model):
    """Figure 3: the condition number of Gaussian matrices, over their size."""

    examples: Annotated[list[Count], Field(min_length=1)] = Field(
        [10, 25, 50, 100, 250, 500, 1000, 2000], description="rows, m"
    )
    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        [10, 25, 50, 100, 250, 500, 1000, 2000, 4000], description="columns, N"
    )
    draws: Count = Field(5, description="matrices drawn for each")


class RandomMatrices(Model):
    """Figures 2 and 3, which need no data; made where `targets` names `random_matrices`."""

    smallest_singular_values: SmallestSingularValues = Field(
        default_factory=SmallestSingularValues, description="Figure 2"
    )
    condition_numbers: ConditionNumbers = Field(default_factory=ConditionNumbers, description="Figure 3")

    @model_validator(mode="after")
    def _something_left(self) -> "RandomMatrices":
        for examples in self.smallest_singular_values.examples:
            if not self.widths_for(examples):
                raise ValueError(
                    f"smallest_singular_values: no width is {self.smallest_singular_values.least_ratio:g} times "
                    f"{examples} examples; add wider ones or lower least_ratio"
                )
        return self

    def widths_for(self, examples: int) -> list[int]:
        """The widths at which Figure 2 shows so many examples."""
        grid = self.smallest_singular_values
        return [width for width in grid.widths if width >= grid.least_ratio * examples]


class MethodSettings(Model):
    """What every pruning method is told; a method's own keys are in its module, goodsubnet.methods.<algorithm>."""

    algorithm: Name = Field(description="the module of goodsubnet.methods that chooses the neurons")
    steps: Count | None = Field(None, description="stop after so many selection steps")
    distinct: Count | None = Field(None, description="stop at so many distinct neurons, instead of `steps`")

    @model_validator(mode="after")
    def _one_way_to_stop(self) -> "MethodSettings":
        if (self.steps is None) == (self.distinct is None):
            raise ValueError("give either steps or distinct: one of them says when to stop")
        return self

    @property
    def least_width(self) -> int:
        """How many neurons the network must have."""
        return self.distinct or 1


class DistinctMethodSettings(MethodSettings):
    """A method that chooses a neuron once at most, so `steps` and `distinct` mean the same."""

    @property
    def least_width(self) -> int:
        return self.distinct or self.steps


def algorithms() -> list[str]:
    """The pruning algorithms there are: a module of goodsubnet.methods each."""
    from goodsubnet import methods

    return sorted(module.name for module in pkgutil.iter_modules(methods.__path__))


def method_model(algorithm: str) -> type[MethodSettings]:
    """The settings model of an algorithm."""
    if algorithm not in algorithms():
        raise ValueError(f"algorithm {algorithm!r} is not one of {', '.join(algorithms())}")
    return importlib.import_module(f"goodsubnet.methods.{algorithm}").Settings


class Configuration(Model):
    """Everything that config.yaml may say."""

    data_dir: str = Field("data", description="where data sets lie, or are downloaded to")
    results_dir: str = Field("results", description="where everything is written")
    targets: Annotated[list[Name], Field(min_length=1)] = Field(
        description="what the default target makes: experiments, and `random_matrices`"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="`auto`: an accelerator if there is one, else the CPU"
    )
    deterministic: bool = Field(
        True, strict=True, description="on an accelerator: only operations that give the same bits each time"
    )
    threads: Threads = Field(default_factory=Threads, description="cores of a job")
    save_every: SaveEvery = Field(default_factory=SaveEvery, description="when progress is saved")
    keep_checkpoints: Literal["all", "last"] = Field(
        "all", description="`last`: a checkpoint is deleted once nothing needs it, but for the last of a network"
    )
    datasets: dict[Name, Annotated[Mnist | Digits | Folder, Field(discriminator="source")]] = Field(
        description="data sets by name"
    )
    networks: dict[Name, TwoLayer] = Field(description="networks by name")
    methods: dict[Name, Any] = Field(description="pruning methods by name")
    experiments: dict[Name, Experiment] = Field(description="experiments by name")
    theory: Theory = Field(default_factory=Theory, description="what the theory's tables ask")
    random_matrices: RandomMatrices = Field(default_factory=RandomMatrices, description="Figures 2 and 3")
    figures: Figures = Field(default_factory=Figures, description="how figures look")

    @field_validator("methods")
    @classmethod
    def _methods_by_algorithm(cls, methods: dict[str, Any]) -> dict[str, MethodSettings]:
        typed = {}
        for name, settings in methods.items():
            if not isinstance(settings, Mapping) or not isinstance(settings.get("algorithm"), str):
                raise ValueError(f"{name}: needs the key algorithm, one of {', '.join(algorithms())}")
            try:
                typed[name] = method_model(settings["algorithm"]).model_validate(settings)
            except ValidationError as error:
                raise ValueError("; ".join(explain(error, prefix=name))) from None
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return typed

    @model_validator(mode="after")
    def _names_exist(self) -> "Configuration":
        _known("targets", self.target_experiments, self.experiments, "experiments")
        for name, experiment in self.experiments.items():
            key = f"experiments.{name}"
            _known(f"{key}.dataset", [experiment.dataset], self.datasets, "datasets")
            _known(f"{key}.networks", experiment.networks, self.networks, "networks")
            _known(f"{key}.methods", experiment.methods, self.methods, "methods")
        for taken in ("data", RANDOM_MATRICES):
            if taken in self.experiments:
                raise ValueError(f"experiments.{taken}: this name is taken by <results_dir>/{taken}; choose another")
        return self

    @model_validator(mode="after")
    def _experiments_possible(self) -> "Configuration":
        for name, experiment in self.experiments.items():
            dataset = self.datasets[experiment.dataset].model_dump()
            names, counts = known_class_names(dataset), known_train_class_counts(dataset)
            if names is not None and counts is not None:
                self.check_classes(name, names, counts)
            for network in experiment.networks:
                for method in experiment.methods:
                    least, width = self.methods[method].least_width, self.networks[network].width
                    if least > width:
                        raise ValueError(
                            f"experiments.{name}: method {method} asks for {least} distinct neurons, and network "
                            f"{network} has {width}; ask for fewer in methods.{method}, or raise the width"
                        )
        return self

    @property
    def target_experiments(self) -> list[str]:
        """The experiments among the targets."""
        return [name for name in self.targets if name != RANDOM_MATRICES]

    def check_classes(self, name: str, class_names: list[str], counts: list[int]) -> None:
        """Raises ValueError where the data set of experiment `name`, with these classes, does not fit its settings.

        counts: training images of each class.
        """
        experiment = self.experiments[name]
        groups = self.datasets[experiment.dataset].groups
        key = f"datasets.{experiment.dataset}.groups"
        try:
            if groups is not None:
                check_groups(groups, class_names)
        except UserError as error:
            raise ValueError(f"{key}: {error}") from None
        if groups is None and len(class_names) != 2:
            raise ValueError(
                f"{key}: a two-layer network has one output and tells two labels apart, and there are "
                f"{len(class_names)} classes; give two lists of classes"
            )
        for examples in experiment.examples:
            try:
                check_subset_size(counts, examples, experiment.shares, class_names)
            except UserError as error:
                raise ValueError(f"experiments.{name}.{error}") from None


def _known(key: str, names: list[str], entries: Mapping[str, Any], where: str) -> None:
    for name in names:
        if name not in entries:
            raise ValueError(f"{key}: {name!r} is not under `{where}` (there: {', '.join(sorted(entries))})")


def load_configuration(raw: Mapping[str, Any]) -> Configuration:
    """Check a configuration as read from YAML.

    Raises UserError with a line for each fault: the key, the value and what is allowed.
    """
    try:
        return Configuration.model_validate(raw)
    except ValidationError as error:
        raise UserError("the configuration is not valid:\n  " + "\n  ".join(explain(error))) from None


def explain(error: ValidationError, prefix: str = "") -> list[str]:
    """A line for each fault, the key first."""
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join([prefix, *_key(fault["loc"])] if prefix else _key(fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "unknown key" + _suggestion(str(fault["loc"][-1]))
        elif fault["type"] == "missing":
            message = "is missing"
        elif fault["type"] not in ("value_error", "assertion_error"):
            message = f"{message[0].lower()}{message[1:]}, got {fault['input']!r}"
        lines.append(f"{key}: {message}" if key else message)
    return lines


def _key(location: tuple[str | int, ...]) -> list[str]:
    """The path of keys and positions, without the names that pydantic gives to the branches of a union."""
    parts = [str(part) for part in location]
    if parts[:1] == ["datasets"]:
        del parts[2:3]
    return [
        part for part in parts if not part.startswith(("EveryCheckpoint", "union[", "list[", "literal[", "constrained"))
    ]


def _suggestion(key: str) -> str:
    """The key that was probably meant, in words."""
    known = {name for model in documented_models() for name in model.model_fields}
    close = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


def documented_models() -> list[type[Model]]:
    """Every model of the configuration, in the order of the documentation."""
    method_models = [method_model(algorithm) for algorithm in algorithms()]
    return [
        *(Configuration, Threads, SaveEvery, Mnist, Digits, Folder, TwoLayer, MethodSettings),
        *method_models,
        *(Experiment, Pretrain, StableFraction, EveryCheckpoint, Theory),
        *(RandomMatrices, SmallestSingularValues, ConditionNumbers, Figures),
    ]
