"""What the workers of a selection know of each other, and what they exchange, counted and timed.

They need two things: to agree on one short message (`agree`), and to receive a longer one from its owner (`broadcast`).
Both go by collectives over all workers, or along the edges of a graph: the paper's workers talk over any undirected
connected graph (Algorithm 2).
"""

import contextlib
import datetime
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from goodsubnet.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch._C._distributed_c10d import Store
    from torch.distributed import ProcessGroup

Graph = Literal["all", "ring", "tree"]
Merge = Callable[[np.ndarray, np.ndarray], np.ndarray]

# A worker that waits this long considers another one hung; including the time to end, all is over within a minute.
# GOODSUBNET_PATIENCE, in seconds, replaces it where workers differ much in speed.
PATIENCE = 30.0
# Then each worker that is still there says so; those that have not done so in this time are named.
ROLL_CALL = 5.0
# A broken connection is noticed before torchrun notices that a worker died; torchrun ends the others meanwhile.
SECONDS_TO_BE_ENDED = 10.0


@dataclass
class Traffic:
    """What a worker received: messages and their bytes; the seconds that it spent on talking and waiting.

    calls: where it is a list, when each exchange began and ended, by a clock that the processes of a machine share.
    """

    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    calls: list[tuple[float, float]] | None = None


class Alone:
    """One worker that holds everything: nothing is exchanged."""

    rank, size = 0, 1
    traffic = Traffic()

    def first(self, size: int) -> "Alone":
        return self

    def rest(self) -> None:
        pass

    def share(self, items: np.ndarray) -> np.ndarray:
        return items

    def agree(self, message: np.ndarray, merge: Merge) -> np.ndarray:
        return message

    def total(self, number: int) -> int:
        return number

    def broadcast(self, array: np.ndarray, owner: int) -> np.ndarray:
        return array


ALONE = Alone()


class Workers:
    """One of several workers, and the connections to the others.

    rank, size: this worker, from 0, and their number. graph: who talks to whom: `all` by collectives, along a `ring`,
    or along a binary `tree`; the results are the same. group: of torch.distributed, whose ranks are those of the
    workers; None: the default group. device: where messages must lie, as torch calls it. store: of torch.distributed,
    by which a worker that hangs is found; None: it is not named.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        graph: Graph = "all",
        *,
        group: "ProcessGroup | None" = None,
        device: str = "cpu",
        store: "Store | None" = None,
    ) -> None:
        self.rank, self.size, self.graph = rank, size, graph
        self._group, self._device, self._store = group, device, store
        # Parent and children in the tree along which a message spreads from each worker.
        self._routes = [route(graph, size, root, rank) for root in range(size)] if graph != "all" else []
        self.traffic = Traffic()
        self._patient_group: ProcessGroup | None = None

    def first(self, size: int) -> "Workers | Alone | None":
        """The first `size` of these workers by themselves; None on the others. All must call this."""
        from torch import distributed

        group = cast("ProcessGroup | None", distributed.new_group(list(range(size)), timeout=patience()))
        if self.rank >= size:
            return None
        return Workers(self.rank, size, self.graph, group=group, device=self._device) if size > 1 else ALONE

    def rest(self) -> None:
        """Wait until all are here, for as long as that takes."""
        from torch import distributed

        if self._patient_group is None:
            every = distributed.new_group(timeout=datetime.timedelta(days=1), backend="gloo")
            self._patient_group = cast("ProcessGroup | None", every)
        distributed.barrier(self._patient_group)

    def share(self, items: np.ndarray) -> np.ndarray:
        """This worker's share of what all know: every `size`-th item, from `rank` on."""
        return items[self.rank :: self.size]

    def agree(self, message: np.ndarray, merge: Merge) -> np.ndarray:
        """The messages of all workers, merged: the same on each of them.

        message: float64 (n,), n the same on all. merge: commutative and associative.
        """
        with self._talking():
            if self.graph == "all":
                return functools.reduce(merge, self._gather(message))
            parent, children = self._routes[0]
            for child in children:
                message = merge(message, self._receive(np.empty_like(message), child))
            if parent is not None:
                self._send(message, parent)
            return self._spread(message, 0)

    def total(self, number: int) -> int:
        """The sum of a number below 2**53 over all workers."""
        return int(self.agree(np.array([number], np.float64), np.add)[0])

    def broadcast(self, array: np.ndarray, owner: int) -> np.ndarray:
        """The owner's `array`; the others give one of the same shape and type, which is written to."""
        with self._talking():
            if self.graph != "all":
                return self._spread(array, owner)
            from torch import distributed

            tensor = self._tensor(array)
            distributed.broadcast(tensor, owner, group=self._group)
            if self.rank != owner:
                self._count(array.nbytes)
            return tensor.cpu().numpy()

    def _gather(self, message: np.ndarray) -> list[np.ndarray]:
        import torch
        from torch import distributed

        tensor = self._tensor(message)
        received = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(received, tensor, group=self._group)
        for _ in range(self.size - 1):
            self._count(message.nbytes)
        return [each.cpu().numpy() for each in received]

    def _spread(self, array: np.ndarray, root: int) -> np.ndarray:
        parent, children = self._routes[root]
        if parent is not None:
            array = self._receive(array, parent)
        for child in children:
            self._send(array, child)
        return array

    def _send(self, array: np.ndarray, to: int) -> None:
        from torch import distributed

        distributed.send(self._tensor(array), to, group=self._group)

    def _receive(self, like: np.ndarray, sender: int) -> np.ndarray:
        from torch import distributed

        tensor = self._tensor(np.empty_like(like))
        distributed.recv(tensor, sender, group=self._group)
        self._count(like.nbytes)
        return tensor.cpu().numpy()

    def _tensor(self, array: np.ndarray) -> "torch.Tensor":
        import torch

        return torch.from_numpy(np.asarray(array, order="C")).to(self._device)

    def _count(self, size: int) -> None:
        self.traffic.messages += 1
        self.traffic.bytes += size

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except RuntimeError as error:
            self._explain(error, time.perf_counter() - began)
            raise
        finally:
            ended = time.perf_counter()
            self.traffic.seconds += ended - began
            if self.traffic.calls is not None:
                self.traffic.calls.append((began, ended))

    def _explain(self, error: RuntimeError, waited: float) -> None:
        """Raises UserError that names the workers that hang."""
        if waited < patience().total_seconds() or self._store is None:
            time.sleep(SECONDS_TO_BE_ENDED)
            return
        self._store.set(f"present/{self.rank}", "")
        time.sleep(ROLL_CALL)
        missing = [str(rank) for rank in range(self.size) if not self._store.check([f"present/{rank}"])]
        if missing:
            raise UserError(
                f"worker {', '.join(missing)} of {self.size} hangs: it has not answered for {waited:.0f} s"
            ) from error


def patience() -> datetime.timedelta:
    """How long a worker waits for another one."""
    return datetime.timedelta(seconds=float(os.environ.get("GOODSUBNET_PATIENCE", PATIENCE)))


def neighbours(graph: Graph, size: int) -> list[list[int]]:
    """Who is connected to whom: for each worker the others, rising."""
    if graph == "ring":
        edges = {tuple(sorted((rank, (rank + 1) % size))) for rank in range(size)} if size > 1 else set()
    elif graph == "tree":
        edges = {((rank - 1) // 2, rank) for rank in range(1, size)}
    else:
        edges = {(first, second) for second in range(size) for first in range(second)}
    return [sorted(other for edge in edges if rank in edge for other in edge if other != rank) for rank in range(size)]


def route(graph: Graph, size: int, root: int, rank: int) -> tuple[int | None, Sequence[int]]:
    """A worker's parent and children in the tree along which a message spreads from `root`, nearest first."""
    connected = neighbours(graph, size)
    parents: dict[int, int | None] = {root: None}
    waiting = [root]
    for sender in waiting:
        for other in connected[sender]:
            if other not in parents:
                parents[other] = sender
                waiting.append(other)
    return parents[rank], [other for other in waiting if parents[other] == rank]
