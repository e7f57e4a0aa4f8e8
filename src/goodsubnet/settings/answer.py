"""What counts as enough pre-training."""

from typing import Annotated

from pydantic import Field

from goodsubnet.settings.base import Model


class AnswerSettings(Model):
    """What counts as enough pre-training; a change only answers anew."""

    margin: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.01,
        description="enough is the first checkpoint whose subnetworks, in the mean over seeds, are at most so much "
        "less accurate than those of the best checkpoint",
    )
