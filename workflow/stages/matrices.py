"""The random matrices of Figures 2 and 3, which need no data; a job for each number of examples."""

from typing import ClassVar

from goodsubnet.settings.configuration import RANDOM_MATRICES
from goodsubnet.settings.stages import ConditionNumbersSettings, SingularValuesSettings
from stages.base import Every, Names, Needed, Output, Shown, Stage


class Matrices(Stage):
    """A stage of the target `random_matrices`."""

    passed: ClassVar[tuple[str, ...]] = ("examples",)

    def made_for(self, target: str) -> bool:
        return target == RANDOM_MATRICES


class SmallestSingularValues(Matrices):
    """Measure the smallest singular values of tanh features at initialisation, for one number of examples."""

    name = "smallest_singular_values"
    path = f"{RANDOM_MATRICES}/smallest_singular_values/examples-{{examples}}"
    outputs: ClassVar[dict[str, Output]] = {"draws": Output(".json")}
    # With the default grid, as below.
    start = 5.0

    def settings(self, names: Names) -> SingularValuesSettings:
        matrices = self.configuration.random_matrices
        grid = matrices.smallest_singular_values
        return SingularValuesSettings(
            inputs=grid.inputs, widths=matrices.widths_for(int(names["examples"])), draws=grid.draws
        )

    def grid(self) -> dict[str, list[str]]:
        chosen = self.configuration.random_matrices.smallest_singular_values
        return {"examples": [str(each) for each in chosen.examples]}

    def choosing(self) -> list[str]:
        return ["examples"]


class ConditionNumbers(Matrices):
    """Measure the condition numbers of standard Gaussian matrices, for one number of examples."""

    name = "condition_numbers"
    path = f"{RANDOM_MATRICES}/condition_numbers/examples-{{examples}}"
    outputs: ClassVar[dict[str, Output]] = {"draws": Output(".json")}
    start = 4.0

    def settings(self, names: Names) -> ConditionNumbersSettings:
        grid = self.configuration.random_matrices.condition_numbers
        return ConditionNumbersSettings(widths=grid.widths, draws=grid.draws)

    def grid(self) -> dict[str, list[str]]:
        chosen = self.configuration.random_matrices.condition_numbers
        return {"examples": [str(each) for each in chosen.examples]}


class SingularValueTable(Matrices):
    """Tabulate the smallest singular values, with fitted curves and exponents."""

    name = "singular_value_table"
    path = f"{RANDOM_MATRICES}/singular_values"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("Figure 2: every point", "random_matrices"), "singular_values"),
        "fits": Output(
            ".fits.csv", Shown("Figure 2: fitted curves and exponents", "singular_value_fits"), "singular_value_fits"
        ),
    }
    inputs: ClassVar[dict[str, Needed]] = {"draws": Every("smallest_singular_values")}
    passed = ()
    local = True


class ConditionNumberTable(Matrices):
    """Tabulate the condition numbers."""

    name = "condition_number_table"
    path = f"{RANDOM_MATRICES}/condition_numbers"
    outputs: ClassVar[dict[str, Output]] = {
        "table": Output(".csv", Shown("Figure 3: every point", "random_matrices"), "condition_numbers")
    }
    inputs: ClassVar[dict[str, Needed]] = {"draws": Every("condition_numbers")}
    passed = ()
    local = True
