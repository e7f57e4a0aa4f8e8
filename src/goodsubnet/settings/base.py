"""What every part of the configuration is built from."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Count = Annotated[int, Field(ge=1, strict=True)]
Iteration = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Model(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def all_models(model: type[Model] = Model) -> Iterator[type[Model]]:
    """Every model that was loaded and derives from one."""
    for each in model.__subclasses__():
        yield each
        yield from all_models(each)
