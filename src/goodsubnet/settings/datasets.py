"""Where images come from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from goodsubnet.settings.base import Count, Model


class Mnist(Model):
    """MNIST (60,000 training and 10,000 test digits), through torchvision; downloaded if absent."""

    source: Literal["mnist"] = Field(description="where the images come from")
    groups: list[list[str]] | None = Field(
        None, description="two lists of class names: the first list becomes label 0, the second label 1"
    )


class Cifar10(Model):
    """CIFAR-10 (50,000 training and 10,000 test images of 10 classes), through torchvision; downloaded if absent."""

    source: Literal["cifar10"] = Field(description="where the images come from")
    groups: list[list[str]] | None = Field(None, description="as for `mnist`")


class Digits(Model):
    """The 1,797 handwritten digits that scikit-learn ships; no download."""

    source: Literal["digits"] = Field(description="where the images come from")
    groups: list[list[str]] | None = Field(None, description="as for `mnist`")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of each class kept for the test set")


class Folder(Model):
    """Your own images: `<path>/train/<class>/*` and `<path>/test/<class>/*` (or `val` for `test`)."""

    source: Literal["folder"] = Field(description="where the images come from")
    path: str | None = Field(
        description="the folder; relative to `data_dir` unless absolute; null: experiments on it are switched off"
    )
    channels: Literal[1, 3] = Field(1, description="1: converted to grey, 3: to RGB")
    size: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="[height, width] in pixels to resize to; null: all images must be of one size. With `storage: "
        "files`: what is cut out of an image, height and width equal",
    )
    storage: Literal["memory", "files"] = Field(
        "memory",
        description="`memory`: images are read once and kept; `files`: read from the folder each time, for those that "
        "do not fit into memory, and for deep networks only",
    )
    title: str | None = Field(None, description="what figures and tables call the data; null: its name")
    groups: list[list[str]] | None = Field(None, description="as for `mnist`")

    @model_validator(mode="after")
    def _square_from_files(self) -> "Folder":
        if self.storage == "files" and (self.size is None or self.size[0] != self.size[1]):
            raise ValueError("storage: files needs a size with height and width equal, as size: [224, 224]")
        return self
