"""Tables in which a number may be `NotApplicable`, as CSV."""

from collections.abc import Iterable
from typing import cast

import pandas as pd

from goodsubnet.theory import NotApplicable

_BEGINNING, _END = str(NotApplicable("|")).split("|")


def as_csv(table: pd.DataFrame, digits: int = 6) -> bytes:
    """A table as CSV: numbers in so many digits, `NotApplicable` as text, NaN empty.

    DataFrame.to_csv rounds no number that shares its column with text.
    """
    form = f"%.{digits}g"

    def written(cell: object) -> str:
        if pd.isna(cast(float, cell)):
            return ""
        return form % cell if isinstance(cell, float) else str(cell)

    mixed = {
        name: table[name].map(written) for name in cast(Iterable[str], table.select_dtypes("object", exclude="str"))
    }
    return table.assign(**mixed).to_csv(index=False, float_format=form).encode()


def as_number(cell: object) -> object:
    """A cell of such a table as it was: a number of a column that holds text, too, or `NotApplicable`."""
    if not isinstance(cell, str):
        return cell
    if cell.startswith(_BEGINNING) and cell.endswith(_END):
        return NotApplicable(cell[len(_BEGINNING) : -len(_END)])
    try:
        return float(cell)
    except ValueError:
        return cell
