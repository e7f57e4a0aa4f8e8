"""What a job asks for: memory and time, from the sizes in the configuration; twice as much with each attempt.

The same on one machine, where `--resources mem_mb=...` bounds what runs at once, and on a cluster, where the scheduler
ends a job that takes more. So these are likely values, with a margin.
"""

import math

from machine import ACCELERATOR, CORE, Machine
from stages.base import Names, Stage

# Minutes: a busy node or a slow file system must not end a job of seconds.
SHORTEST = 10
# Minutes, of any attempt: partitions for a day are common. A job ended at its limit saves its progress, and the next
# attempt continues from there.
LONGEST = 24 * 60
MARGIN = 4


class Requests:
    """accelerated: whether there are accelerators to compute on."""

    def __init__(self, accelerated: bool) -> None:
        # Machines of a fixed speed, so that a job's requests do not depend on where they are computed.
        self.on_core, self.on_accelerator = Machine(accelerated, CORE), Machine(accelerated, ACCELERATOR)

    def memory(self, stage: Stage, names: Names, attempt: int) -> int:
        """MB of a job."""
        return math.ceil(stage.memory(names, self.on_core)) * 2 ** (attempt - 1)

    def minutes(self, stage: Stage, names: Names, attempt: int) -> int:
        """Time limit of a job."""
        on_accelerator = self.on_core.accelerated and stage.devices(names) > 0
        seconds = stage.cost(names, self.on_accelerator if on_accelerator else self.on_core).seconds
        return min(LONGEST, math.ceil(SHORTEST + MARGIN * seconds / 60) * 2 ** (attempt - 1))
