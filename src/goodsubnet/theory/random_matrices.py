"""Singular values of random matrices: the neurons' outputs at initialisation (Figure 2), and Gaussian ones (Figure 3).

Wolfe et al., arXiv 2108.00259, appendix C. m examples, d inputs, N neurons (the width). An m x N matrix has m singular
values that may differ from 0 only where m <= N; where m > N no function here returns a number.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import cast

import numpy as np
import pandas as pd
from scipy.linalg import svdvals

from goodsubnet.data.randomness import random_generator
from goodsubnet.errors import UserError
from goodsubnet.theory import NotApplicable

TOO_NARROW = NotApplicable("more examples than neurons")
CURVES: dict[str, Callable[[int, np.ndarray], np.ndarray]] = {
    "sqrt": lambda examples, widths: np.sqrt(widths),
    "difference": lambda examples, widths: np.sqrt(widths) - np.sqrt(examples),
}
"""What the smallest singular value is compared with, up to a factor c: sqrt(N), and sqrt(N) - sqrt(m)."""


def tanh_features(examples: int, inputs: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Psi = tanh(X W^T), the hidden neurons' outputs at initialisation, (examples, width) float64 (appendix C).

    X (examples, inputs) and W (width, inputs) have N(0, 1) entries; then the rows of X get length 1. X is drawn first.
    """
    x = generator.standard_normal((examples, inputs))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    features = x @ generator.standard_normal((width, inputs)).T
    return np.tanh(features, out=features)


def singular_values(matrix: np.ndarray) -> np.ndarray:
    """The min(rows, columns) singular values, in descending order, float64; of the matrix itself, never of its square.

    LAPACK starts with a QR where the matrix is much taller than wide, so that one of our own saves nothing; the wide
    orientation takes up to 1.9 times as long (benchmarks/random_matrices.py).
    """
    rows, columns = matrix.shape
    return svdvals(matrix if rows >= columns else matrix.T, check_finite=False)


def smallest_singular_values(
    examples: int, inputs: Sequence[int], widths: Sequence[int], draws: int, seed: int = 0
) -> pd.DataFrame:
    """The smallest singular value of `draws` matrices of tanh features for each number of inputs and width.

    Columns: examples, inputs, width, draw, value; `NotApplicable` where there are more examples than neurons. A value
    depends on its own row and the seed alone. Raises UserError for a count below 1, and where a matrix has fewer than
    `examples` independent rows in float64, so that the value would be rounding error.
    """
    _require_positive(examples=[examples], inputs=inputs, widths=widths, draws=[draws])
    rows = []
    for features in inputs:
        for width in widths:
            for draw in range(draws):
                value: float | NotApplicable = TOO_NARROW
                if examples <= width:
                    key = (examples, features, width, draw, seed)
                    generator = random_generator("smallest singular value", *key)
                    value = _smallest(tanh_features(examples, features, width, generator), features)
                rows.append((examples, features, width, draw, value))
    return pd.DataFrame(rows, columns=["examples", "inputs", "width", "draw", "value"])


def condition_numbers(examples: int, widths: Sequence[int], draws: int, seed: int = 0) -> pd.DataFrame:
    """kappa = sigma_max/sigma_min of `draws` standard Gaussian (examples, width) matrices for each width.

    Columns: examples, width, draw, value; `NotApplicable` where there are more examples than neurons. A value depends
    on its own row and the seed alone. Raises UserError for a count below 1.
    """
    _require_positive(examples=[examples], widths=widths, draws=[draws])
    rows = []
    for width in widths:
        for draw in range(draws):
            value: float | NotApplicable = TOO_NARROW
            if examples <= width:
                generator = random_generator("condition number", examples, width, draw, seed)
                values = singular_values(generator.standard_normal((examples, width)))
                value = float(values[0] / values[-1])
            rows.append((examples, width, draw, value))
    return pd.DataFrame(rows, columns=["examples", "width", "draw", "value"])


def as_records(draws: pd.DataFrame) -> list[dict[Hashable, object]]:
    """The rows of a table of draws for JSON: `NotApplicable` as text. A DataFrame of them is such a table again."""
    return draws.map(lambda cell: str(cell) if isinstance(cell, NotApplicable) else cell).to_dict("records")


def marchenko_pastur(examples: int, width: int) -> float | NotApplicable:
    """kappa of a large standard Gaussian (examples, width) matrix: (sqrt N + sqrt m)/(sqrt N - sqrt m).

    The ratio of the edges of the Marchenko-Pastur law, the limit for m and N that grow at a fixed ratio; infinite at
    m = N, where kappa itself is a small multiple of N. Not applicable for m > N.
    """
    if examples > width:
        return TOO_NARROW
    # sqrt N - sqrt m would lose digits where m is near N.
    return (width**0.5 + examples**0.5) ** 2 / (width - examples) if examples < width else np.inf


def singular_value_table(draws: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of `smallest_singular_values`, of one or more numbers of examples.

    The deviation's divisor is draws - 1. Columns: examples, inputs, width, draws (how many), mean, standard_deviation.
    """
    keys = ["examples", "inputs", "width"]
    return _by_cell(draws, keys, _moments, ["mean", "standard_deviation"])


def condition_number_table(draws: pd.DataFrame) -> pd.DataFrame:
    """Statistics of `condition_numbers`, of one or more numbers of examples, beside the prediction for large matrices.

    Columns: examples, width, draws (how many), median, min, max, mean, standard_deviation, marchenko_pastur. At m = N
    the distribution of kappa has no finite mean (Edelman, Eigenvalues and condition numbers of random matrices, 1988),
    at m = N - 1 no finite variance: those of the draws mean little there, the median does.
    """

    def statistics(values: np.ndarray) -> dict[str, float | NotApplicable]:
        return {name: float(getattr(np, name)(values)) for name in ("median", "min", "max")} | _moments(values)

    names = ["median", "min", "max", "mean", "standard_deviation"]
    table = _by_cell(draws, ["examples", "width"], statistics, names)
    pairs = zip(table["examples"].tolist(), table["width"].tolist(), strict=True)
    # pandas takes any objects as a column; its types only know numbers, text and the like.
    return table.assign(marchenko_pastur=cast(list[float], [marchenko_pastur(*pair) for pair in pairs]))


def singular_value_fits(draws: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """How the smallest singular value grows with the width: two curves and an exponent for each (examples, inputs).

    draws: of `smallest_singular_values`, of one or more numbers of examples. Columns, beside examples and inputs:
    - `widths`, `draws`: how many widths, and draws of each;
    - `c_sqrt`, `c_difference`: c of c sqrt(N) and of c (sqrt(N) - sqrt(m)), by least squares of the logarithm: the
      geometric mean, over all draws, of the value over the curve;
    - `error_sqrt`, `error_difference`: relative error of that curve against the mean of the draws, root mean square
      over the widths; the curve with the smaller one fits better;
    - `exponent`: p of sigma_min ~ N^p, the slope of log sigma_min on log N by ordinary least squares over all draws;
    - `low`, `high`: its interval of the given confidence (Student's t). It covers the scatter of the draws about a
      power law, not that the true curve may be another.
    What too few widths leave open is `NotApplicable`.
    """
    rows = []
    for (examples, inputs), group in draws.groupby(["examples", "inputs"]):
        fitted = group[group["width"] >= examples]
        counts = {"widths": fitted["width"].nunique(), "draws": fitted["draw"].nunique()}
        rows.append({"examples": examples, "inputs": inputs, **counts, **_fit(cast(int, examples), fitted, confidence)})
    return pd.DataFrame(rows)


def _require_positive(**counts: Sequence[int]) -> None:
    for name, values in counts.items():
        if not values or min(values) < 1:
            raise UserError(f"{name}: {', '.join(map(str, values)) or 'none given'}; each must be at least 1")


def _smallest(features: np.ndarray, inputs: int) -> float:
    """The smallest singular value of (examples, width) features. Raises UserError where it is rounding error."""
    values = singular_values(features)
    # The usual tolerance of a numerical rank, as in numpy.linalg.matrix_rank.
    if values[-1] <= max(features.shape) * np.finfo(np.float64).eps * values[0]:
        raise UserError(
            f"inputs is {inputs}: the outputs on {len(features)} examples are linearly dependent in float64, and their "
            "smallest singular value is rounding error; use more inputs or fewer examples"
        )
    return float(values[-1])


def _moments(values: np.ndarray) -> dict[str, float | NotApplicable]:
    deviation = float(values.std(ddof=1)) if len(values) > 1 else NotApplicable("one draw")
    return {"mean": float(values.mean()), "standard_deviation": deviation}


def _by_cell(
    draws: pd.DataFrame,
    keys: list[str],
    statistics: Callable[[np.ndarray], dict[str, float | NotApplicable]],
    names: list[str],
) -> pd.DataFrame:
    """A row for each cell, in the order of its keys: how many draws, and the statistics of their values."""
    rows = []
    for key, group in draws.groupby(keys):
        cell = cast(dict[str, int], dict(zip(keys, key, strict=True)))
        if cell["examples"] > cell["width"]:
            found: dict[str, float | NotApplicable] = dict.fromkeys(names, TOO_NARROW)
        else:
            found = statistics(group["value"].to_numpy(np.float64))
        rows.append({**cell, "draws": len(group), **found})
    return pd.DataFrame(rows)


def _fit(examples: int, fitted: pd.DataFrame, confidence: float) -> dict[str, float | NotApplicable]:
    """The fits of one (examples, inputs); fitted: its draws of at least as many neurons as examples."""
    names = ["c_sqrt", "error_sqrt", "c_difference", "error_difference", "exponent", "low", "high"]
    if fitted.empty:
        return dict.fromkeys(names, TOO_NARROW)
    values, widths = fitted["value"].to_numpy(np.float64), fitted["width"].to_numpy(np.float64)
    distinct, place = np.unique(widths, return_inverse=True)
    means = np.bincount(place, values) / np.bincount(place)
    found: dict[str, float | NotApplicable] = {}
    c: float | NotApplicable
    error: float | NotApplicable
    for name, curve in CURVES.items():
        c = error = NotApplicable("the curve is 0 where a width equals the number of examples")
        if curve(examples, distinct)[0] > 0:
            c = float(np.exp(np.log(values / curve(examples, widths)).mean()))
            error = float(np.sqrt(np.mean((c * curve(examples, distinct) / means - 1) ** 2)))
        found |= {f"c_{name}": c, f"error_{name}": error}
    return found | dict(zip(names[4:], _power_law(widths, values, confidence), strict=True))


def _power_law(widths: np.ndarray, values: np.ndarray, confidence: float) -> tuple[float | NotApplicable, ...]:
    """The exponent of the values' growth with the width, and both ends of its interval."""
    # It takes 0.5 s to import, and those who only draw matrices need none of it.
    from scipy.stats import linregress, t

    distinct = len(np.unique(widths))
    if distinct < 2:
        return (NotApplicable("one width"),) * 3
    line = linregress(np.log(widths), np.log(values))
    if distinct < 3:
        return float(line.slope), *(NotApplicable("fewer than 3 widths"),) * 2
    reach = t.ppf((1 + confidence) / 2, len(values) - 2) * line.stderr
    return float(line.slope), float(line.slope - reach), float(line.slope + reach)
