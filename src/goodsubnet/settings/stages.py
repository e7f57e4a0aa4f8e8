"""What each stage's result depends on: the settings that its job is given, typed.

No more and no less: a change in what stands here makes the stage's artifacts again. Workflow and scripts hand them
on as JSON; the stage reads them as its model. `code` is the fingerprint of the code that the stage runs.
"""

from typing import Literal, TypeAlias

from pydantic import ConfigDict, JsonValue, TypeAdapter

from goodsubnet.settings.base import Count, Model, Name, Positive
from goodsubnet.settings.datasets import AnySource
from goodsubnet.settings.methods import AnyMethod, LayerMethodSettings, NeuronMethodSettings
from goodsubnet.settings.networks import TwoLayerArchitecture
from goodsubnet.settings.stopping import AnyRule
from goodsubnet.settings.training import Augmentation, DeepDescent, Finetune, Loss, TwoLayerTraining

Accuracy: TypeAlias = Literal["train_accuracy", "test_accuracy"]
Inputs: TypeAlias = Literal["unit_range", "unit_length"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
Architecture: TypeAlias = dict[str, JsonValue]
"""Of a deep network, as `DeepNetworkSettings.as_architecture` gives it."""


class StageSettings(Model):
    """What a stage's result depends on."""

    code: str = ""


# ---- data


class PrepareSettings(StageSettings):
    dataset: AnySource


class SubsetSettings(StageSettings):
    """dataset: its name, which the draw is a function of."""

    dataset: Name
    shares: Literal["equal", "data"]
    validation_share: float


# ---- networks


class TwoLayerPretrainSettings(StageSettings, TwoLayerTraining):
    experiment: Name
    network: Name
    architecture: TwoLayerArchitecture
    threads: Count
    deterministic: bool

    @property
    def kind(self) -> str:
        return "two_layer"


class DeepPretrainSettings(StageSettings, DeepDescent):
    experiment: Name
    network: Name
    architecture: Architecture
    threads: Count
    deterministic: bool

    @property
    def kind(self) -> str:
        return "deep"


class TwoLayerAdoptSettings(StageSettings):
    """Of the training, only what is needed to measure the dense network."""

    kind: Literal["two_layer"] = "two_layer"
    architecture: TwoLayerArchitecture
    loss: Loss
    inputs: Inputs
    threads: Count


class DeepAdoptSettings(StageSettings):
    kind: Literal["deep"] = "deep"
    architecture: Architecture
    mean: list[float] | None
    std: list[float] | None
    threads: Count
    deterministic: bool


class Reading(Model):
    """What is needed to compute the outputs of a trained two-layer network and their loss."""

    kind: Literal["two_layer"] = "two_layer"
    activation: Literal["relu", "tanh"]
    loss: Loss
    inputs: Inputs


class NeuronPruneSettings(StageSettings, Reading):
    method: AnyMethod
    threads: Count

    @property
    def chosen(self) -> NeuronMethodSettings:
        """The method, as one that chooses neurons. Raises TypeError for others."""
        if not isinstance(self.method, NeuronMethodSettings):
            raise TypeError(f"{self.method.algorithm} does not choose neurons")
        return self.method


class LayerPruneSettings(StageSettings):
    """augmentation, precision: of the training between two layers."""

    kind: Literal["deep"] = "deep"
    method: AnyMethod
    threads: Count
    deterministic: bool
    augmentation: Augmentation | None
    precision: Precision

    @property
    def chosen(self) -> LayerMethodSettings:
        """The method, as one that chooses channels. Raises TypeError for others."""
        if not isinstance(self.method, LayerMethodSettings):
            raise TypeError(f"{self.method.algorithm} does not choose channels")
        return self.method


class FinetuneSettings(StageSettings, Finetune):
    augmentation: Augmentation | None
    precision: Precision
    threads: Count
    deterministic: bool


class TwoLayerEvaluateSettings(StageSettings, Reading):
    pass


class DeepEvaluateSettings(StageSettings):
    """The checkpoint itself says what the network is."""

    kind: Literal["deep"] = "deep"
    threads: Count
    deterministic: bool


class TermsSettings(StageSettings):
    experiment: Name
    network: Name
    architecture: TwoLayerArchitecture
    batch_size: Count | Literal["full"]
    inputs: Inputs
    loss: Loss
    threads: Count


# ---- when to stop


class ProbeSelection(Model):
    """How neurons are selected where a checkpoint is observed, as `greedy_forward_selection` takes it."""

    steps: Count | None = None
    distinct: Count | None = None
    max_steps: Count = 10_000


class TwoLayerObserveSettings(StageSettings):
    kind: Literal["two_layer"] = "two_layer"
    experiment: Name
    network: Name
    architecture: TwoLayerArchitecture
    probe: Count
    inputs: Inputs
    loss: Loss
    selection: ProbeSelection
    threads: Count


class DeepObserveSettings(StageSettings):
    kind: Literal["deep"] = "deep"
    experiment: Name
    network: Name
    architecture: Architecture
    probe: Count
    share: float
    threads: Count
    deterministic: bool


class StoppingSettings(StageSettings):
    """iterations: planned ones. method, accuracy: whose column says how good a subnetwork is."""

    rules: dict[Name, AnyRule]
    accuracy: Accuracy
    method: Name
    iterations: Count
    batch_size: Count | Literal["full"]


# ---- tables


class PlanSettings(StageSettings):
    """plan: as `runtime.audit.Plan`."""

    plan: JsonValue


class TableSettings(StageSettings):
    """Of a table that depends on nothing but its inputs."""


class RequiredPretrainingSettings(StageSettings):
    accuracy: Accuracy
    margin: Positive


class AnswersSettings(StageSettings):
    accuracy: Accuracy
    margin: float
    method: Name


class AccuracyTableSettings(StageSettings):
    """architectures: network -> the name that the paper's table may have for it."""

    reference: Literal["table1", "table2"] | None
    architectures: dict[Name, str]
    iterations_per_epoch: Count | None
    title: str


class BoundsSettings(StageSettings):
    loss: Loss
    error: Positive


class ThresholdsSettings(StageSettings):
    accuracy: Accuracy
    margin: float


class SingularValuesSettings(StageSettings):
    inputs: list[Count]
    widths: list[Count]
    draws: Count


class ConditionNumbersSettings(StageSettings):
    widths: list[Count]
    draws: Count


class LayerTimesSettings(StageSettings):
    kind: Literal["deep"] = "deep"
    method: AnyMethod
    architecture: Architecture
    size: Count
    blocks: list[str]
    steps: Count
    candidates: Count
    batch_size: Count
    probe_size: Count
    workers: list[Count]
    repetitions: Count
    threads: Count


class NeuronTimesSettings(StageSettings):
    kind: Literal["two_layer"] = "two_layer"
    method: AnyMethod
    width: Count
    examples: Count
    inputs: Count
    loss: Loss
    workers: list[Count]
    repetitions: Count
    threads: Count


# ---- the verdict


class DescribedExperiment(Model):
    """An experiment, as far as the claims are judged by it."""

    name: Name
    kind: Literal["two_layer", "deep"]
    source: Name
    title: str
    examples: list[Count]
    methods: dict[Name, AnyMethod]
    lr_scaling: str | None
    loss: str
    inputs: str
    accuracy: Accuracy
    paper_table: Literal["table1", "table2"] | None


class ClaimsSettings(StageSettings):
    experiments: list[DescribedExperiment]


class ShownFigure(Model):
    """A picture on the page of the verdict. link: relative to the page."""

    experiment: Name
    figure: str
    title: str
    link: str


class VerdictSettings(StageSettings):
    """figures: in the order of the job's inputs. links: text -> where it leads."""

    figures: list[ShownFigure]
    links: dict[str, str]


# ---- one stage, two kinds of networks: the keys tell which of them it is

PretrainSettings: TypeAlias = TwoLayerPretrainSettings | DeepPretrainSettings
AdoptSettings: TypeAlias = TwoLayerAdoptSettings | DeepAdoptSettings
PruneSettings: TypeAlias = NeuronPruneSettings | LayerPruneSettings
EvaluateSettings: TypeAlias = TwoLayerEvaluateSettings | DeepEvaluateSettings
ObserveSettings: TypeAlias = TwoLayerObserveSettings | DeepObserveSettings
PruningTimesSettings: TypeAlias = NeuronTimesSettings | LayerTimesSettings

# A job reads one of them, so that none is built before it is asked for.
_LATER = ConfigDict(defer_build=True)
PRETRAIN: TypeAdapter[PretrainSettings] = TypeAdapter(PretrainSettings, config=_LATER)
ADOPT: TypeAdapter[AdoptSettings] = TypeAdapter(AdoptSettings, config=_LATER)
PRUNE: TypeAdapter[PruneSettings] = TypeAdapter(PruneSettings, config=_LATER)
EVALUATE: TypeAdapter[EvaluateSettings] = TypeAdapter(EvaluateSettings, config=_LATER)
OBSERVE: TypeAdapter[ObserveSettings] = TypeAdapter(ObserveSettings, config=_LATER)
PRUNING_TIMES: TypeAdapter[PruningTimesSettings] = TypeAdapter(PruningTimesSettings, config=_LATER)
