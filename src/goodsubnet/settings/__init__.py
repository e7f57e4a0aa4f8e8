"""The configuration as typed models: the one place that says what a key means, its unit, default and range.

The JSON schema (config/schema.json) and the table of config/README.md are generated from these models.
Imports nothing heavy, because the workflow is parsed with it.

    datasets, networks, methods, stopping
                    the keys that all plug-ins of a kind have; a plug-in's own are in its module
    training, theory, pruning_times, answer, figures
                    the other parts of a configuration
    configuration   the whole, and what must fit together; `load_configuration`
    stages          what each stage's result depends on
    faults          what is wrong, in words
    documentation   tables for people, a schema for editors

The names exported here are those that plug-ins and readers of a configuration need.
"""

from goodsubnet.settings.base import Count, Iteration, Model, Name, Positive
from goodsubnet.settings.configuration import Configuration, load_configuration
from goodsubnet.settings.datasets import SourceSettings
from goodsubnet.settings.figures import FigureSettings, FigureStyle
from goodsubnet.settings.methods import (
    BaselineLayerSettings,
    DistinctMethodSettings,
    Distributed,
    LayerMethodSettings,
    NeuronMethodSettings,
    NeuronWork,
)
from goodsubnet.settings.networks import DeepNetworkSettings, NetworkCost
from goodsubnet.settings.stopping import RuleSettings

__all__ = [
    "BaselineLayerSettings",
    "Configuration",
    "Count",
    "DeepNetworkSettings",
    "DistinctMethodSettings",
    "Distributed",
    "FigureSettings",
    "FigureStyle",
    "Iteration",
    "LayerMethodSettings",
    "Model",
    "Name",
    "NetworkCost",
    "NeuronMethodSettings",
    "NeuronWork",
    "Positive",
    "RuleSettings",
    "SourceSettings",
    "load_configuration",
]
