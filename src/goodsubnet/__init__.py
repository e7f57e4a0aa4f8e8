"""How long must a network be trained before it can be pruned well?

The public interface; each name is imported only when it is used, because much of it is slow to load.

    greedy_forward_selection    neurons of a two-layer network, from their outputs (Algorithm 1)
    Selection                   what it returns
    load_network                a deep network, pruned or not, from a file of the chain
    Watch                       in a training loop: is it enough?
    Judgement                   what it answers
    load_configuration          a configuration, checked and typed
    UserError                   what is raised for what a user can fix
"""

import importlib.metadata
from typing import TYPE_CHECKING

from goodsubnet.errors import UserError

if TYPE_CHECKING:
    from goodsubnet.networks.files import load_network
    from goodsubnet.selection.forward import greedy_forward_selection
    from goodsubnet.selection.trace import Selection
    from goodsubnet.settings.configuration import load_configuration
    from goodsubnet.stopping.callback import Watch
    from goodsubnet.stopping.judging import Judgement

__all__ = [
    "Judgement",
    "Selection",
    "UserError",
    "Watch",
    "__version__",
    "greedy_forward_selection",
    "load_configuration",
    "load_network",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        try:
            return importlib.metadata.version("goodsubnet")
        except importlib.metadata.PackageNotFoundError:
            return "0+unknown"
    if name == "greedy_forward_selection":
        from goodsubnet.selection.forward import greedy_forward_selection

        return greedy_forward_selection
    if name == "Selection":
        from goodsubnet.selection.trace import Selection

        return Selection
    if name == "load_network":
        from goodsubnet.networks.files import load_network

        return load_network
    if name == "Watch":
        from goodsubnet.stopping.callback import Watch

        return Watch
    if name == "Judgement":
        from goodsubnet.stopping.judging import Judgement

        return Judgement
    if name == "load_configuration":
        from goodsubnet.settings.configuration import load_configuration

        return load_configuration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
