"""Algorithms 1 and 2: greedy forward selection of neurons, exact and fast, by one worker or several."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from goodsubnet.selection.losses import LOSSES
from goodsubnet.selection.trace import Selection, distinct_so_far
from goodsubnet.training.losses import mean_loss

if TYPE_CHECKING:
    import torch
    from typing_extensions import TypeIs

    from goodsubnet.networks.two_layer import Array
    from goodsubnet.runtime.group import Alone, Workers
    from goodsubnet.selection.columns import Passes
    from goodsubnet.selection.distributed import DistributedSearch
    from goodsubnet.selection.logistic import LogisticSearch
    from goodsubnet.selection.squared import SquaredSearch

    _Search: TypeAlias = SquaredSearch | LogisticSearch | DistributedSearch


def greedy_forward_selection(
    outputs: "Array",
    targets: "Array",
    steps: int | None = None,
    loss: str = "logistic",
    *,
    distinct: int | None = None,
    max_steps: int = 10_000,
    threads: int | None = None,
    after_step: Callable[[int], None] | None = None,
    workers: "Workers | Alone | None" = None,
    neurons: Sequence[int] | np.ndarray | None = None,
) -> Selection:
    """Choose neurons one at a time, each the one that lowers the loss of the average most.

    outputs: (examples, neurons) float32 or float64, numpy or torch; column i is phi_i, the output of neuron i before
    averaging. The transpose of a C-contiguous (neurons, examples) array is used as it is; any other layout is copied.
    A tensor on an accelerator is searched there.
    targets: (examples,) finite; for the logistic loss 0 or 1.
    steps, distinct: stop after so many steps, or at so many different neurons; exactly one of them. With `distinct`
    also after `max_steps`, with fewer: a neuron may be chosen again, and at initialisation few differ.
    threads: of the processor, default all that numba may use. They change no result.
    after_step: called with the number of steps done.
    workers, neurons: `goodsubnet.runtime.group.Workers` who select together, each with some of the columns in
    `outputs`, and int64, rising, which of all the neurons they are; every neuron is held by one worker, and all the
    rest is the same for all. Each worker gets the whole selection, the one that a single worker would find.
    Returns the neurons in the order chosen, repeats included, and the mean loss after each step; torch tensors (on
    the processor) if `outputs` was one. Each choice is the true minimum over all neurons, near-ties decided in
    float64, ties to the lowest index. The first call on a machine compiles for about 10 s.
    Raises ValueError for NaN or infinite values, shapes that disagree, or other types of numbers.
    Source: Algorithm 1, eqs. (9)-(11); Algorithm 2 with several workers.
    """
    torch = sys.modules["torch"] if _is_torch(outputs) else None
    values, targets = _checked(outputs, targets, loss)
    total = values.shape[1] if workers is None else workers.total(values.shape[1])
    if (steps is None) == (distinct is None):
        raise ValueError("give exactly one of steps and distinct")
    wanted = cast(int, steps if distinct is None else distinct)
    if wanted != int(wanted) or wanted < 1:
        raise ValueError(f"{'steps' if distinct is None else 'distinct'} must be a whole number from 1, not {wanted}")
    if distinct is not None and distinct > total:
        raise ValueError(f"distinct={distinct}, but there are only {total} neurons")
    if workers is not None and np.shape(cast(np.ndarray, neurons)) != values.shape[1:]:
        raise ValueError(
            f"neurons must be ({values.shape[1]},), one a column, not {np.shape(cast(np.ndarray, neurons))}"
        )

    from goodsubnet.selection.kernels import limit_threads

    before = limit_threads(threads)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is reported, or bounds nothing
            search: _Search
            search = search_for(values, targets, loss)
            if workers is not None:
                from goodsubnet.selection.distributed import DistributedSearch

                dtype = np.dtype(str(values.dtype).removeprefix("torch."))
                search = DistributedSearch(search, np.asarray(neurons), loss, dtype, workers)
            chosen, losses = _select(search, steps, distinct, max_steps, loss, after_step)
    finally:
        limit_threads(before)
    trace = distinct_so_far(chosen), 1.0 + np.arange(1, len(chosen) + 1)
    if torch is not None:
        return Selection(torch.from_numpy(chosen), torch.from_numpy(losses), *trace)
    return Selection(chosen, losses, *trace)


def _select(
    search: "_Search",
    steps: int | None,
    distinct: int | None,
    max_steps: int,
    loss: str,
    after_step: Callable[[int], None] | None,
) -> tuple[np.ndarray, np.ndarray]:
    chosen: list[int]
    losses: list[float]
    chosen, losses = [], []
    limit = cast(int, steps if distinct is None else max_steps)
    while len(chosen) < limit and (distinct is None or len(set(chosen)) < distinct):
        chosen.append(search.best())
        search.add(chosen[-1])
        losses.append(mean_loss(search.total / len(chosen), search.targets, loss))
        if not np.isfinite(losses[-1]):
            raise ValueError("outputs or targets are so large that the loss overflows")
        if after_step is not None:
            after_step(len(chosen))
    return np.array(chosen, np.int64), np.array(losses, np.float64)


def search_for(outputs: "Array", targets: "Array", loss: str) -> "SquaredSearch | LogisticSearch":
    """The stepwise search: `best()` finds a step's neuron, `add(neuron)` takes it and goes on.

    Arguments as in `greedy_forward_selection`. Its `total`, `step`, `columns.column` and `targets` are what `decide`
    needs to compare the best neurons of several searches.
    """
    columns, targets = columns_of(outputs, targets, loss)
    return search_in(columns, targets, loss)


def search_in(columns: "Passes", targets: np.ndarray, loss: str) -> "SquaredSearch | LogisticSearch":
    """The same, of what `columns_of` returns."""
    if loss == "squared":
        from goodsubnet.selection.squared import SquaredSearch

        return SquaredSearch(columns, targets)
    from goodsubnet.selection.logistic import LogisticSearch

    return LogisticSearch(columns, targets)


def columns_of(outputs: "Array", targets: "Array", loss: str) -> "tuple[Passes, np.ndarray]":
    """The outputs as columns where they lie, on the processor or an accelerator, and the targets as float64, checked.

    Arguments and errors as in `greedy_forward_selection`.
    """
    values, targets = _checked(outputs, targets, loss)
    if _is_torch(values):
        from goodsubnet.selection.accelerator import DeviceColumns

        return DeviceColumns(values.T, targets), targets
    from goodsubnet.selection.columns import Columns

    return Columns(np.ascontiguousarray(values.T), targets), targets


def _is_torch(value: object) -> "TypeIs[torch.Tensor]":
    return type(value).__module__.partition(".")[0] == "torch"


def _checked(outputs: "Array", targets: "Array", loss: str) -> "tuple[Array, np.ndarray]":
    """Outputs as a numpy view, or as a tensor where they lie on an accelerator, and targets as float64."""
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {loss!r}")
    if _is_torch(outputs):
        outputs = outputs.detach()
        outputs = outputs.numpy() if outputs.device.type == "cpu" else outputs
    elif not isinstance(outputs, np.ndarray):
        raise ValueError(f"outputs must be a numpy array or a torch tensor, not {type(outputs).__name__}")
    if _is_torch(targets):
        targets = targets.detach().cpu().numpy()
    if str(outputs.dtype).removeprefix("torch.") not in ("float32", "float64"):
        raise ValueError(f"outputs must be float32 or float64, not {outputs.dtype}")
    if outputs.ndim != 2 or 0 in outputs.shape:
        raise ValueError(f"outputs must be (examples, neurons), at least one of each, not {tuple(outputs.shape)}")
    targets = np.ascontiguousarray(targets, np.float64)
    if targets.shape != (outputs.shape[0],):
        raise ValueError(f"targets must be ({outputs.shape[0]},), one per example, not {targets.shape}")
    if not np.isfinite(targets).all():
        raise ValueError("targets contain NaN or infinite values")
    if loss == "logistic" and not np.isin(targets, (0, 1)).all():
        raise ValueError("targets of the logistic loss must be 0 or 1")
    return outputs, targets
