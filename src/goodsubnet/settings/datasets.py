"""Where images come from."""

from typing import Annotated, Literal

from pydantic import Field

from goodsubnet.settings.base import Count, Model


class Mnist(Model):
    """MNIST (60,000 training and 10,000 test digits), through torchvision; downloaded if absent."""

    source: Literal["mnist"] = Field(description="where the images come from")
    groups: list[list[str]] | None = Field(
        None, description="two lists of class names: the first list becomes label 0, the second label 1"
    )


class Digits(Model):
    """The 1,797 handwritten digits that scikit-learn ships; no download."""

    source: Literal["digits"] = Field(description="where the images come from")
    groups: list[list[str]] | None = Field(None, description="as for `mnist`")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of each class kept for the test set")


class Folder(Model):
    """Your own images: `<path>/train/<class>/*` and `<path>/test/<class>/*`."""

    source: Literal["folder"] = Field(description="where the images come from")
    path: str = Field(description="the folder; relative to `data_dir` unless absolute")
    channels: Literal[1, 3] = Field(1, description="1: converted to grey, 3: to RGB")
    size: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        None, description="[height, width] in pixels to resize to; null: all images must be of one size"
    )
    groups: list[list[str]] | None = Field(None, description="as for `mnist`")
