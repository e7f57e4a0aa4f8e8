"""What a stage declares, in one place: its files, its inputs, its settings and code, and what its jobs cost.

The rules, the plans of the tables, the run's estimates and the cluster's requests all ask it; `runtime.audit` and
`runtime.verification` find what it declared in plans and sidecars.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from machine import SMALL, Machine

from goodsubnet.settings.configuration import Experiment
from goodsubnet.settings.stages import StageSettings, TableSettings

if TYPE_CHECKING:
    from chain import Chain

Names: TypeAlias = Mapping[str, str]
"""Wildcards and their values."""
NETWORK = "{network}/examples-{examples}/seed-{seed}"
CELL = f"{NETWORK}/iteration-{{iteration}}"
VARIED = ("examples", "seed", "iteration")
"""Wildcards that no settings depend on: the rest choose among named entries of the configuration."""


@dataclass(frozen=True)
class Shown:
    """How a file appears in the report. what: its title. caption: a file of workflow/report."""

    what: str
    caption: str


@dataclass(frozen=True)
class Output:
    """A file of a stage: what follows its stem. table: what figures and other stages call it, if it is a table."""

    suffix: str
    shown: Shown | None = None
    table: str | None = None


@dataclass(frozen=True)
class Input:
    """A file that a job needs of another stage, for the same wildcards unless something else is said.

    suffix: which of its files; its first one, if empty. iteration: another checkpoint: the one before (the first one
    has none), the `first` or the `last`. when, method: called with the chain and the names: whether there is such an
    input, and which other method it belongs to.
    """

    stage: str
    suffix: str = ""
    iteration: Literal["same", "previous", "first", "last"] = "same"
    when: Callable[["Chain", Names], bool] | None = None
    method: Callable[["Chain", Names], str | None] | None = None


@dataclass(frozen=True)
class Every:
    """All files of a stage that an experiment has."""

    stage: str
    suffix: str = ""


@dataclass(frozen=True)
class Gathered:
    """The plan of a table, and all that it is gathered from."""

    table: str


@dataclass(frozen=True)
class OfTargets:
    """A table of each target that has it."""

    table: str


@dataclass(frozen=True)
class Elsewhere:
    """A file that no stage makes: a pattern, called with the chain and the names."""

    pattern: Callable[["Chain", Names], str]


Needed: TypeAlias = Input | Every | Gathered | OfTargets | Elsewhere


@dataclass(frozen=True)
class Cost:
    """What a job costs: seconds on one core, and bytes that it leaves on the disk."""

    seconds: float
    size: float = 1e5


class Stage:
    """One stage of the chain. To add one, write a class like this in a file of this folder, and its script.

    name: of the rule and the script. path: of its files without their suffixes, below `results_dir`. outputs: its
    files, by the names that the rule has for them; the first one is passed to the script as its output. inputs: by the
    names that the script has for them. passed: wildcards that the script is given. given: its other arguments:
    `machine` (device, data_dir, readers), `workers` (Algorithm 2), `saving`, `kept` (temporary checkpoints),
    `data_dir`, `snakefile`. local: seconds of work, done where Snakemake runs.
    constraints: on wildcards.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    outputs: ClassVar[dict[str, Output]]
    inputs: ClassVar[dict[str, Needed]] = {}
    passed: ClassVar[tuple[str, ...]] = ()
    given: ClassVar[tuple[str, ...]] = ()
    local: ClassVar[bool] = False
    # Seconds until a process has imported what it needs, and read its inputs.
    start: ClassVar[float] = 2.0

    def __init__(self, chain: "Chain") -> None:
        self.chain = chain
        self.configuration = chain.configuration

    # ---- what a stage declares; the defaults are those of a table that depends on nothing but its inputs

    def settings(self, names: Names) -> StageSettings:
        """What the result depends on, beside inputs and code. names: the wildcards that choose; others may be there."""
        return TableSettings()

    def modules(self, names: Names) -> list[str]:
        """Code that the script loads by name: modules below goodsubnet, or users' files."""
        return []

    def made_for(self, target: str) -> bool:
        """Whether a target has files of this stage."""
        return target in self.configuration.experiments

    def constraints(self) -> dict[str, str]:
        """Regular expressions that wildcards must match."""
        return {}

    def grid(self) -> dict[str, list[str]]:
        """The values of its wildcards, for a stage whose files belong to no experiment."""
        return {}

    def threads(self, names: Names) -> int:
        """Cores of a job."""
        return 1

    def devices(self, names: Names) -> int:
        """Accelerators of a job, where there are any."""
        return 0

    def memory(self, names: Names, machine: Machine) -> float:
        """MB of a job. Measured for small ones: up to 210 MB beside Snakemake's two processes."""
        return SMALL

    def cost(self, names: Names, machine: Machine) -> Cost:
        return Cost(self.start)

    # ---- what follows from it

    def wildcards(self) -> list[str]:
        """The wildcards of its path, in order."""
        return self.chain.fields(self.path)

    def choosing(self) -> list[str]:
        """Those of them that settings may depend on."""
        return [name for name in self.wildcards() if name not in VARIED]

    @property
    def main(self) -> Output:
        return next(iter(self.outputs.values()))

    def experiment(self, names: Names) -> Experiment:
        return self.configuration.experiments[names["experiment"]]

    def kind(self, names: Names) -> str:
        """Of the networks of an experiment."""
        return self.configuration.kind_of(names["experiment"])


class PlannedTable(Stage):
    """A table that is gathered by a plan: of all artifacts of a stage, and what these are made from.

    of: the stage whose artifacts make its rows. beside: other files that are read with them, stage and suffix. The
    script finds all of them by the plan.
    """

    of: ClassVar[str]
    beside: ClassVar[tuple[tuple[str, str], ...]] = ()
    local = True

    def methods(self, experiment: str) -> list[str]:
        """The methods whose artifacts are gathered."""
        return list(self.configuration.experiments[experiment].methods)


class NetworkStage(Stage):
    """A stage whose jobs compute with a network, on the processor or an accelerator."""

    def segment(self, names: Names) -> tuple[int, bool]:
        """Iterations of the segment that ends at a checkpoint, and whether that stays on disk."""
        marks, stop = self.experiment(names).pretrain.checkpoint_iterations, int(names["iteration"])
        kept = self.configuration.keep_checkpoints == "all" or stop == marks[-1]
        return stop - max([mark for mark in [0, *marks] if mark < stop], default=stop), kept

    def image_numbers(self, names: Names) -> int:
        """Numbers in an image; those of MNIST where they are not known yet."""
        channels, height, width = self.configuration.datasets[self.experiment(names).dataset].image()
        return 784 if height is None or width is None else math.prod((channels, height, width))

    def test_images(self, names: Names) -> int:
        return self.configuration.datasets[self.experiment(names).dataset].test_images()

    def rows(self, names: Names) -> int:
        """Examples of a training batch."""
        batch, examples = self.experiment(names).pretrain.batch_size, int(names["examples"])
        return examples if batch == "full" else min(int(batch), examples)
