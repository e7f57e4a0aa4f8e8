"""What a stage's function is given, and what it gives back, whatever the kind of network.

There is one module for each stage and kind, `stages.<kind>.<stage>`, with a function of the stage's name. It is found
by name, so that what one kind of network runs does not depend on another's code.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import numpy as np
from pydantic import BaseModel

from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.jobs import Job, Task
from goodsubnet.runtime.machine import Machine
from goodsubnet.runtime.progress import Saving
from goodsubnet.stopping.observation import Observation

Arrays: TypeAlias = dict[str, np.ndarray]
Measured: TypeAlias = dict[str, float | None]
"""What was measured, by column. None where it does not apply."""


class Pretrain(Protocol):
    def __call__(
        self, job: Job[BaseModel], machine: Machine, seed: int, iteration: int, saving: Saving
    ) -> tuple[Arrays, Measured]:
        """Train to `iteration`: the tensors of the checkpoint, and how well the dense network does there."""


class Adopt(Protocol):
    def __call__(self, job: Job[BaseModel], machine: Machine, iteration: int) -> tuple[Arrays, Measured]:
        """The same for a checkpoint that was trained elsewhere."""


class Prune(Protocol):
    def __call__(self, job: Task[BaseModel], machine: Machine, seed: int) -> Arrays:
        """The tensors of a subnetwork."""


class Compute(Protocol):
    def __call__(self, job: Task[BaseModel], machine: Machine, seed: int) -> Mapping[str, Json]:
        """What is kept as JSON: of `calibrate` and `pruning_times`."""


class Evaluate(Protocol):
    def __call__(self, job: Job[BaseModel], machine: Machine) -> Measured:
        """How well a subnetwork does, and what it costs."""


class Observe(Protocol):
    def __call__(self, job: Task[BaseModel], machine: Machine, seed: int, iteration: int) -> Observation:
        """What a stopping rule may know of a checkpoint."""
