"""The chain as paths: what the rules ask for, known nowhere else. Stages and figures are found automatically."""

import hashlib
import importlib
import itertools
import json
import pkgutil
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import stages as package
from stages.base import (
    Elsewhere,
    Every,
    Gathered,
    Input,
    Names,
    OfTargets,
    PlannedTable,
    Shown,
    Stage,
)

from goodsubnet.errors import UserError
from goodsubnet.plots.contract import caption, figure_module, figure_names
from goodsubnet.runtime.artifacts import Json
from goodsubnet.runtime.audit import Entry, Member, Plan
from goodsubnet.runtime.fingerprint import fingerprint
from goodsubnet.settings.base import Model
from goodsubnet.settings.configuration import Configuration
from goodsubnet.settings.figures import FigureSettings, Offered
from goodsubnet.settings.methods import LayerMethodSettings
from goodsubnet.settings.networks import DeepNetworkSettings, builder_of

SCRIPTS = Path(__file__).parents[1] / "scripts"
# The order of the names in a row of a table.
ORDER = ["experiment", "dataset", "network", "width", "examples", "seed", "iteration", "method"]
# What a table is gathered from: its script finds it by the plan.
GATHERED = "gathered"
FIGURE_PATH = "{experiment}/figures/"


@dataclass(frozen=True)
class FigureRule:
    """A figure, as the rules see it. tables: those that it is drawn from. heading: on the page of the verdict."""

    name: str
    tables: tuple[str, ...]
    kinds: tuple[str, ...]
    heading: str
    shown: Shown
    form: str
    model: type[FigureSettings]


class Chain:
    """Paths, settings and inputs of every stage and figure; and what a target makes.

    on_cluster: jobs go to other machines, or this is one of them.
    """

    def __init__(self, configuration: Configuration, on_cluster: bool = False) -> None:
        self.configuration, self.on_cluster = configuration, on_cluster
        self.root = configuration.results_dir.rstrip("/")
        self.stages = self._stages()
        self.figures = {name: _figure(name) for name in figure_names()}
        self._settings: dict[tuple[str, ...], str] = {}
        self._tables = {
            output.table: (stage, output)
            for stage in self.stages.values()
            for output in stage.outputs.values()
            if output.table
        }

    def _stages(self) -> dict[str, Stage]:
        """All stages, in the order of the data: what others are made from comes first."""
        classes: dict[str, type[Stage]] = {}
        for module in pkgutil.iter_modules(package.__path__):
            for each in vars(importlib.import_module(f"stages.{module.name}")).values():
                if isinstance(each, type) and issubclass(each, Stage) and "name" in vars(each):
                    classes[each.name] = each
        stages = {name: each(self) for name, each in sorted(classes.items())}
        readers: dict[str, set[str]] = {name: set() for name in stages}
        for stage in stages.values():
            sources = {each.stage for each in stage.inputs.values() if isinstance(each, Input | Every)}
            if isinstance(stage, PlannedTable):
                sources |= {"plan", stage.of}
            if any(isinstance(each, OfTargets) or each == Every("shown") for each in stage.inputs.values()):
                # These are made from everything that people read.
                sources |= {
                    name for name, other in stages.items() if any(each.shown for each in other.outputs.values())
                }
            for name, other in stages.items():
                # Two stages may make the same files, each of other networks.
                if (
                    any(source in stages and other.path == stages[source].path for source in sources)
                    and other is not stage
                ):
                    readers[name].add(stage.name)
        distance: dict[str, int] = {}

        def to_the_end(name: str) -> int:
            if name not in distance:
                distance[name] = max((to_the_end(reader) + 1 for reader in readers[name]), default=0)
            return distance[name]

        return {name: stages[name] for name in sorted(stages, key=lambda name: -to_the_end(name))}

    # ---- paths

    def pattern(self, stage: str, suffix: str) -> str:
        """A path with wildcards, as Snakemake takes it."""
        root = self.root.replace("{", "{{").replace("}", "}}")
        return f"{root}/{self.stages[stage].path}{suffix}"

    def path(self, stage: str, suffix: str = "", **names: str | int) -> str:
        """A path with its wildcards filled in. suffix: of another file than the first one."""
        chosen = self.stages[stage]
        return f"{self.root}/{chosen.path.format(**names)}{suffix or chosen.main.suffix}"

    def table(self, name: str, target: str) -> str | None:
        """Where a table of a target lies; None where the target has none."""
        stage, output = self._tables[name]
        return self.path(stage.name, output.suffix, experiment=target) if stage.made_for(target) else None

    def figure(self, name: str, target: str, ending: str = "png") -> str:
        """Where a figure of a target lies."""
        return f"{self.root}/{FIGURE_PATH.format(experiment=target)}{name}.{ending}"

    def paths_of(self, stage: str, target: str, suffix: str = "") -> list[str]:
        """Every file of a stage that a target has."""
        return [self.path(stage, suffix, experiment=target, **cell) for cell in self._cells(stage, target)]

    def _cells(self, stage: str, target: str) -> Iterator[dict[str, str]]:
        """Every combination of a stage's wildcards that a target has, but for `experiment`."""
        grid = self.stages[stage].grid()
        if target in self.configuration.experiments:
            chosen = self.configuration.experiments[target]
            grid = {
                "dataset": [chosen.dataset],
                "network": list(chosen.networks),
                "examples": [str(each) for each in chosen.examples],
                "seed": [str(each) for each in chosen.seeds],
                "iteration": [str(each) for each in chosen.pretrain.checkpoint_iterations],
                "method": list(chosen.methods),
            }
            planned = [each for each in self.stages.values() if isinstance(each, PlannedTable) and each.of == stage]
            if planned:
                grid["method"] = planned[0].methods(target)
        names = [name for name in grid if name in self.stages[stage].wildcards()]
        for values in itertools.product(*(grid[name] for name in names)):
            yield dict(zip(names, values, strict=True))

    @staticmethod
    def fields(pattern: str) -> list[str]:
        """The wildcards of a pattern, in order."""
        return [field for _, field, _, _ in string.Formatter().parse(pattern) if field]

    # ---- settings and code

    def settings(self, stage: str, names: Names) -> str:
        """All that a stage's result depends on beside its inputs: its settings, and the fingerprint of its code.

        As one sorted JSON string: Snakemake compares the parameters of a rule as a set of values, so two that swapped
        would go unnoticed.
        """
        chosen = self.stages[stage]
        key = (stage, *(names[name] for name in chosen.choosing()))
        if key not in self._settings:
            code = fingerprint(SCRIPTS / f"{stage}.py", chosen.modules(names))
            self._settings[key] = as_json(chosen.settings(names).model_copy(update={"code": code}))
        return self._settings[key]

    def figure_settings(self, figure: str, target: str) -> str:
        """The same for a figure."""
        key = ("figure", figure, target)
        if key not in self._settings:
            code = fingerprint(SCRIPTS / "figure.py", [f"plots.figures.{figure}"])
            offered, model = self._offered(target), self.figures[figure].model
            told = {name: getattr(offered, name) for name in model.model_fields}
            self._settings[key] = as_json(model.model_validate({**told, "code": code}))
        return self._settings[key]

    def _offered(self, target: str) -> Offered:
        configuration = self.configuration
        style = configuration.figures.style
        if target not in configuration.experiments:
            return Offered(style=style)
        chosen, bounded = configuration.experiments[target], self.bounded_methods(target)
        return Offered(
            style=style,
            accuracy=configuration.judged_accuracy(target),
            methods=chosen.methods,
            method=chosen.methods[0],
            bounded_method=bounded[0] if bounded else "",
            margin=configuration.answer.margin,
            title=configuration.datasets[chosen.dataset].title_of(chosen.dataset),
        )

    def architecture_code(self, network: str) -> list[str]:
        """The code that builds a network, where it is found by name, as for deep ones."""
        chosen = self.configuration.networks[network]
        return self.code_of(chosen) if isinstance(chosen, DeepNetworkSettings) else []

    def code_of(self, network: DeepNetworkSettings) -> list[str]:
        return [builder_of(network.as_architecture()).source]

    # ---- inputs

    def input_of(self, stage: str, name: str, names: Names) -> str | list[str]:
        """The path, or paths, of an input of a job; an empty list where it has none."""
        chosen = self.stages[stage]
        if name == GATHERED and isinstance(chosen, PlannedTable):
            gathered = [(chosen.of, ""), *chosen.beside]
            return [path for other, suffix in gathered for path in self.paths_of(other, names["experiment"], suffix)]
        return self._input(stage, chosen.inputs[name], names)

    @staticmethod
    def names_of_inputs(stage: Stage) -> list[str]:
        """What the rule calls the inputs of a stage."""
        return [*stage.inputs, *([GATHERED] if isinstance(stage, PlannedTable) else [])]

    def _input(self, stage: str, needed: object, names: Names) -> str | list[str]:
        experiment = names.get("experiment", "")
        if isinstance(needed, Elsewhere):
            return needed.pattern(self, names).format(**names)
        if isinstance(needed, Gathered):
            return self.plan_path(experiment, needed.table)
        if isinstance(needed, OfTargets):
            if needed.table == "figures":
                return [path for _, _, path in self.figures_of_targets()]
            return [path for target in self.targets() if (path := self.table(needed.table, target))]
        if isinstance(needed, Every):
            if needed.stage == "shown":
                return self.shown(experiment)
            return self.paths_of(needed.stage, self.stages[stage].path.split("/")[0].format(**names), needed.suffix)
        if not isinstance(needed, Input):
            raise TypeError(f"{stage}: {needed!r} is no kind of input")
        filled = self._filled(needed, names)
        if filled is None:
            return []
        if needed.iteration == "previous":
            marks = self.configuration.experiments[experiment].pretrain.checkpoint_iterations
            earlier = [mark for mark in marks if mark < int(names["iteration"])]
            if not earlier:
                return []
            filled = {**filled, "iteration": str(earlier[-1])}
        return self.path(needed.stage, needed.suffix, **filled)

    def _filled(self, needed: Input, names: Names) -> dict[str, str] | None:
        """The names of an input, which may differ from its reader's; None where there is no such input."""
        if needed.when is not None and not needed.when(self, names):
            return None
        filled = dict(names)
        if "experiment" in names:
            chosen = self.configuration.experiments[names["experiment"]]
            filled["dataset"] = chosen.dataset
            if needed.iteration in ("first", "last"):
                marks = chosen.pretrain.checkpoint_iterations
                filled["iteration"] = str(marks[0 if needed.iteration == "first" else -1])
        if needed.method is not None:
            other = needed.method(self, names)
            if other is None:
                return None
            filled["method"] = other
        return filled

    # ---- plans

    def plan_path(self, experiment: str, table: str) -> str:
        """The plan of a table; its name is a short hash of all that the table is made from."""
        content = self.settings("plan", {"experiment": experiment, "table": table})
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return self.path("plan", experiment=experiment, table=table, digest=digest)

    def plan(self, experiment: str, table: str) -> Plan:
        """What a table is made from, back to the data: where each artifact lies, from what, and by which settings."""
        stage = self.stages[table]
        if not isinstance(stage, PlannedTable):
            raise TypeError(f"{table} is not gathered by a plan")
        chosen = self.configuration.experiments[experiment]
        # A method comes after the one that it takes its widths from.
        methods = sorted(stage.methods(experiment), key=lambda name: self.configuration.widths_from(name) is not None)
        plan: Plan = {
            "names": {"experiment": experiment, "dataset": chosen.dataset},
            "order": ORDER,
            "grid": {
                "network": list(chosen.networks),
                "examples": list(chosen.examples),
                "seed": list(chosen.seeds),
                "iteration": list(chosen.pretrain.checkpoint_iterations),
                "method": list(methods),
            },
            "entries": [],
            "settings": [],
        }
        entries: dict[str, Entry] = {}
        wanted = [name for name in ("network", "method") if name in self.stages[stage.of].wildcards()]
        for values in itertools.product(*([str(value) for value in plan["grid"][name]] for name in wanted)):
            names: dict[str, str] = {"experiment": experiment, "dataset": chosen.dataset}
            names.update(zip(wanted, values, strict=True))
            self._enter(plan, entries, stage.of, names)
        return plan

    def _enter(self, plan: Plan, entries: dict[str, Entry], name: str, names: Names) -> None:
        """Add the artifacts of a stage to a plan, after those that they are made from."""
        stage = self._maker(name, names)
        own: dict[str, str | int | None] = {
            field: names[field] for field in ("network", "method") if field in stage.wildcards()
        }
        inputs: dict[str, str] = {}
        for what, needed in stage.inputs.items():
            if isinstance(needed, Elsewhere):
                symbolic = {field: f"{{{field}}}" for field in ("examples", "seed", "iteration")}
                inputs[what] = needed.pattern(self, names).format(**{**names, **symbolic})
            elif isinstance(needed, Input):
                filled = self._filled(needed, names)
                if filled is None:
                    continue
                if needed.stage != name or needed.method is not None:
                    self._enter(plan, entries, needed.stage, {**names, "method": filled.get("method", "")})
                inputs[what] = self._symbolic(needed, names, filled)
        settings: dict[str, Json] = json.loads(self.settings(stage.name, names))
        if settings not in plan["settings"]:
            plan["settings"].append(settings)
        path = f"{self._literal_root()}/{stage.path}{stage.main.suffix}"
        key = as_text([stage.name, inputs])
        if key not in entries:
            entries[key] = {"stage": stage.name, "path": path, "inputs": inputs, "members": []}
            plan["entries"].append(entries[key])
        if "network" in own:
            own["width"] = getattr(self.configuration.networks[names["network"]], "width", None)
        member: Member = {"names": own, "settings": plan["settings"].index(settings)}
        if member not in entries[key]["members"]:
            entries[key]["members"].append(member)

    def _symbolic(self, needed: Input, names: Names, filled: Names) -> str:
        """The path of an input, with the reader's wildcards; names that differ from the reader's are filled in."""
        source = self.stages[needed.stage]
        path = f"{self._literal_root()}/{source.path}{needed.suffix or source.main.suffix}"
        others = {}
        if needed.method is not None:
            others["method"] = filled["method"]
        if needed.iteration == "previous":
            others["iteration"] = "{previous}"
        elif needed.iteration != "same":
            others["iteration"] = filled["iteration"]
        fields = self.fields(path)
        return path.format(**{field: others.get(field, f"{{{field}}}") for field in fields})

    def _literal_root(self) -> str:
        return self.root.replace("{", "{{").replace("}", "}}")

    def _maker(self, name: str, names: Names) -> Stage:
        """The stage that makes the artifacts of one: `adopt` does what `pretrain` does for other networks."""
        for stage in self.stages.values():
            if stage.path != self.stages[name].path:
                continue
            patterns = stage.constraints()
            if all(re.fullmatch(patterns[field], names[field]) for field in patterns if field in names):
                return stage
        raise KeyError(name)

    # ---- what is asked of an experiment

    def bounded_methods(self, target: str) -> list[str]:
        """The methods that the bounds speak of: greedy forward selection, of networks that are trained here.

        The theory needs the initial weights and the learning rate, which are unknown for a network from elsewhere.
        """
        if target not in self.configuration.experiments:
            return []
        chosen, methods = self.configuration.experiments[target], self.configuration.methods
        if any(self.configuration.networks[name].elsewhere for name in chosen.networks):
            return []
        return [name for name in chosen.methods if methods[name].algorithm == "greedy"]

    def calibrated(self, method: str) -> bool:
        """Whether a method's tolerance is found for a share of the multiply-adds."""
        chosen = self.configuration.methods[method]
        return isinstance(chosen, LayerMethodSettings) and chosen.asked_ratio is not None

    def finetuned(self, experiment: str) -> bool:
        """Whether its subnetworks are trained further."""
        return self.configuration.experiments[experiment].finetune is not None

    # ---- what a target makes

    def targets(self) -> list[str]:
        """What `targets` names in the configuration, without what is switched off."""
        return [name for name in self.configuration.targets if not self.configuration.switched_off(name)]

    def figures_of(self, target: str) -> list[str]:
        """The figures that a target has: those whose tables it has, for networks of its kind."""
        experiments = self.configuration.experiments
        kind = self.configuration.kind_of(target) if target in experiments else None
        return [
            name
            for name, figure in self.figures.items()
            if (kind in figure.kinds or (kind is None and not figure.kinds))
            and all(self.table(table, target) for table in figure.tables)
        ]

    def figures_of_targets(self) -> list[tuple[str, str, str]]:
        """Target, figure and path of all pictures that show what the claims are judged on."""
        return [
            (target, name, self.figure(name, target)) for target in self.targets() for name in self.figures_of(target)
        ]

    def shown(self, target: str) -> list[str]:
        """The figures and tables that the report of a target shows."""
        figures = [self.figure(name, target) for name in self.figures_of(target)]
        tables = [
            self.path(stage.name, output.suffix, experiment=target)
            for stage in self.stages.values()
            if stage.made_for(target)
            for output in stage.outputs.values()
            if output.shown
        ]
        return [*figures, *tables]

    def verdicts(self) -> list[str]:
        """Which claims hold, of all targets together: the table, and the page that people read."""
        return [self.path("claims"), self.path("verdict")]

    def products(self, target: str) -> list[str]:
        """What people read of a target, and where a longer run would continue from; nothing if it is switched off."""
        if self.configuration.switched_off(target):
            return []
        made = [*self.shown(target), self.path("report", experiment=target)]
        if target not in self.configuration.experiments:
            return made
        # The plans are asked for, too: Snakemake does not miss one while the table that it belongs to is there.
        planned = [stage for stage in self.stages.values() if isinstance(stage, PlannedTable)]
        plans = [self.plan_path(target, stage.name) for stage in planned if stage.made_for(target)]
        last = str(self.configuration.experiments[target].pretrain.checkpoint_iterations[-1])
        cells = [cell for cell in self._cells("pretrain", target) if cell["iteration"] == last]
        return [*plans, *made, *(self.path("pretrain", experiment=target, **cell) for cell in cells)]

    def products_by_name(self, experiment: str) -> list[str]:
        """The same for an experiment that is asked for by name. Raises UserError if it is switched off."""
        if self.configuration.switched_off(experiment):
            dataset = self.configuration.experiments[experiment].dataset
            raise UserError(
                f"experiments.{experiment}: its images are not named; set datasets.{dataset}.path to their folder"
            )
        return self.products(experiment)


def _figure(name: str) -> FigureRule:
    module = figure_module(name)
    return FigureRule(
        name=name,
        tables=module.TABLES,
        kinds=module.KINDS,
        heading=module.HEADING,
        shown=Shown(module.TITLE, str(caption(name))),
        form=module.FORM,
        model=module.Settings,
    )


def as_json(settings: Model) -> str:
    """Settings as one line of sorted JSON."""
    return as_text(settings.model_dump(mode="json"))


def as_text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
