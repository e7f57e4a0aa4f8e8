"""Where data come from: the keys of all sources; a source's own keys are in its module, goodsubnet.data.sources."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny

from goodsubnet.settings.base import Model, Name
from goodsubnet.settings.faults import typed

TEST_IMAGES = 10_000


class SourceSettings(Model):
    """Settings shared by all sources of data. What is known before the data are read lets wrong settings be refused."""

    label: ClassVar[str | None] = None
    """What figures and tables call the data; None: their name in the configuration."""

    source: Name = Field(description="the module of goodsubnet.data.sources that reads the data")
    groups: list[list[str]] | None = Field(
        None, description="two lists of class names: the first list becomes label 0, the second label 1"
    )

    def title_of(self, name: str) -> str:
        """What figures and tables call the data. name: in the configuration."""
        return self.label or name

    def stored(self) -> "SourceSettings":
        """These settings without those that the stored data do not depend on."""
        return self

    def classes(self) -> dict[str, int] | None:
        """Class -> training images, in the order of the classes, without the data; None where only they can tell."""
        return None

    def image(self) -> tuple[int, int | None, int | None]:
        """Channels, height and width of the images, without the data; None where only they can tell."""
        return 1, None, None

    def test_images(self) -> int:
        """How many test images there are, roughly."""
        return TEST_IMAGES

    def nonzero(self) -> float:
        """The share of the images' numbers that are not zero, roughly: two-layer networks compute with these alone."""
        return 1.0

    def classes_there(self, data_dir: str) -> dict[str, int] | None:
        """As `classes`, from a look at the data, where that is cheap; else None.

        Raises UserError where the data are missing or invalid.
        """
        return None

    @property
    def streamed(self) -> bool:
        """Whether images stay in files of their own and are read from them each time."""
        return False

    @property
    def switched_off(self) -> bool:
        """Whether the place of the data is not given yet: then experiments on them are left out."""
        return False

    @property
    def folder(self) -> str | None:
        """The folder that the user's images lie in, relative to `data_dir`; None where there is none."""
        return None


def source_settings(value: object) -> SourceSettings:
    """The settings of a data set, by its source."""
    return typed("sources", "source", value, SourceSettings)


AnySource = Annotated[SerializeAsAny[SourceSettings], BeforeValidator(source_settings)]
