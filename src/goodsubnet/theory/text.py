"""Tables in which a number may be `NotApplicable`, as CSV."""

import pandas as pd


def as_csv(table: pd.DataFrame, digits: int = 6) -> bytes:
    """A table as CSV: numbers in so many digits, `NotApplicable` as text, NaN empty.

    DataFrame.to_csv rounds no number that shares its column with text.
    """
    form = f"%.{digits}g"

    def written(cell: object) -> str:
        if pd.isna(cell):
            return ""
        return form % cell if isinstance(cell, float) else str(cell)

    mixed = {name: table[name].map(written) for name in table.select_dtypes("object", exclude="str")}
    return table.assign(**mixed).to_csv(index=False, float_format=form).encode()
