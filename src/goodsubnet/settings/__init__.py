"""The configuration as typed models: the one place that says what a key means, its unit, default and range.

The JSON schema (config/schema.json) and the table of config/README.md are generated from these models.
Imports nothing heavy, because the workflow is parsed with it.

    datasets, networks, training, methods, theory, stopping, pruning_times, answer,
    figures
                    the parts of a configuration
    configuration   the whole, and what must fit together; `load_configuration`
    faults          what is wrong, in words
"""

from goodsubnet.settings.answer import AnswerSettings
from goodsubnet.settings.base import Count, Iteration, Model, Name, Positive
from goodsubnet.settings.configuration import (
    PRUNING_TIMES,
    RANDOM_MATRICES,
    Configuration,
    Experiment,
    SaveEvery,
    Threads,
    load_configuration,
)
from goodsubnet.settings.datasets import Cifar10, Digits, Folder, Mnist
from goodsubnet.settings.faults import explain
from goodsubnet.settings.figures import Figures, FigureStyle
from goodsubnet.settings.methods import (
    BaselineLayerSettings,
    DistinctMethodSettings,
    Distributed,
    LayerMethodSettings,
    MethodSettings,
    NeuronMethodSettings,
    algorithms,
    method_model,
)
from goodsubnet.settings.networks import Deep, TwoLayer
from goodsubnet.settings.pruning_times import LayerTimes, NeuronTimes, PruningTimes
from goodsubnet.settings.stopping import RuleSettings, Stopping, rule_model, rules
from goodsubnet.settings.theory import ConditionNumbers, RandomMatrices, SmallestSingularValues, Theory
from goodsubnet.settings.training import (
    Crop,
    DeepPretrain,
    EveryCheckpoint,
    Finetune,
    Pretrain,
    ResizedCrop,
    StableFraction,
)

__all__ = [
    "PRUNING_TIMES",
    "RANDOM_MATRICES",
    "AnswerSettings",
    "BaselineLayerSettings",
    "Cifar10",
    "ConditionNumbers",
    "Configuration",
    "Count",
    "Crop",
    "Deep",
    "DeepPretrain",
    "Digits",
    "DistinctMethodSettings",
    "Distributed",
    "EveryCheckpoint",
    "Experiment",
    "FigureStyle",
    "Figures",
    "Finetune",
    "Folder",
    "Iteration",
    "LayerMethodSettings",
    "LayerTimes",
    "MethodSettings",
    "Mnist",
    "Model",
    "Name",
    "NeuronMethodSettings",
    "NeuronTimes",
    "Positive",
    "Pretrain",
    "PruningTimes",
    "RandomMatrices",
    "ResizedCrop",
    "RuleSettings",
    "SaveEvery",
    "SmallestSingularValues",
    "StableFraction",
    "Stopping",
    "Theory",
    "Threads",
    "TwoLayer",
    "algorithms",
    "documented_models",
    "explain",
    "load_configuration",
    "method_model",
    "rule_model",
    "rules",
]


def documented_models() -> list[type[Model]]:
    """Every model of the configuration, in the order of the documentation."""
    method_models = [method_model(algorithm) for algorithm in algorithms()]
    rule_models = [rule_model(rule) for rule in rules()]
    return [
        *(Configuration, Threads, SaveEvery, Mnist, Cifar10, Digits, Folder, TwoLayer, Deep),
        *(MethodSettings, NeuronMethodSettings, LayerMethodSettings, BaselineLayerSettings),
        *method_models,
        *(Experiment, Pretrain, StableFraction, EveryCheckpoint, DeepPretrain, Crop, ResizedCrop, Finetune, Theory),
        *(Stopping, *rule_models),
        *(RandomMatrices, SmallestSingularValues, ConditionNumbers, AnswerSettings, Figures),
    ]
