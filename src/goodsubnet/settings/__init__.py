"""The configuration as typed models: the one place that says what a key means, its unit, default and range.

The JSON schema (config/schema.json) and the table of config/README.md are generated from these models.
Imports nothing heavy, because the workflow is parsed with it.

    datasets, networks, training, methods, theory, figures
                    the parts of a configuration
    configuration   the whole, and what must fit together; `load_configuration`
    faults          what is wrong, in words
"""

from goodsubnet.settings.base import Count, Iteration, Model, Name, Positive
from goodsubnet.settings.configuration import (
    RANDOM_MATRICES,
    Configuration,
    Experiment,
    SaveEvery,
    Threads,
    load_configuration,
)
from goodsubnet.settings.datasets import Digits, Folder, Mnist
from goodsubnet.settings.faults import explain
from goodsubnet.settings.figures import Figures, FigureStyle
from goodsubnet.settings.methods import DistinctMethodSettings, MethodSettings, algorithms, method_model
from goodsubnet.settings.networks import TwoLayer
from goodsubnet.settings.theory import ConditionNumbers, RandomMatrices, SmallestSingularValues, Theory
from goodsubnet.settings.training import EveryCheckpoint, Pretrain, StableFraction

__all__ = [
    "RANDOM_MATRICES",
    "ConditionNumbers",
    "Configuration",
    "Count",
    "Digits",
    "DistinctMethodSettings",
    "EveryCheckpoint",
    "Experiment",
    "FigureStyle",
    "Figures",
    "Folder",
    "Iteration",
    "MethodSettings",
    "Mnist",
    "Model",
    "Name",
    "Positive",
    "Pretrain",
    "RandomMatrices",
    "SaveEvery",
    "SmallestSingularValues",
    "StableFraction",
    "Theory",
    "Threads",
    "TwoLayer",
    "algorithms",
    "documented_models",
    "explain",
    "load_configuration",
    "method_model",
]


def documented_models() -> list[type[Model]]:
    """Every model of the configuration, in the order of the documentation."""
    method_models = [method_model(algorithm) for algorithm in algorithms()]
    return [
        *(Configuration, Threads, SaveEvery, Mnist, Digits, Folder, TwoLayer, MethodSettings),
        *method_models,
        *(Experiment, Pretrain, StableFraction, EveryCheckpoint, Theory),
        *(RandomMatrices, SmallestSingularValues, ConditionNumbers, Figures),
    ]
