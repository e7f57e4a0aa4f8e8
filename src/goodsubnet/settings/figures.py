"""How figures look."""

from typing import Annotated, Literal

from pydantic import Field

from goodsubnet.settings.base import Model


class FigureStyle(Model):
    """How figures look; none of it changes a number."""

    colormap: str = Field(
        "viridis", description="a Matplotlib colour map; one of monotone lightness prints well in grey"
    )
    color_norm: Literal["power", "log", "linear"] = Field(
        "power",
        description="what colours and accuracy axes spread evenly: `power`, the cube root of the error; `log`, its "
        "logarithm (no error is drawn as half the smallest other one); `linear`, the accuracy",
    )
    red_line: str = Field("#e3001b", description="colour of the required pre-training")
    dpi: Annotated[int, Field(ge=10, le=2400, strict=True)] = Field(300, description="dots per inch of PNG files")
    width_inches: float = Field(7.0, ge=4, le=40, description="largest width of a figure, in inches")


class Figures(FigureStyle):
    """What figures show and how they look; a change only redraws."""

    @property
    def style(self) -> FigureStyle:
        """How they look, alone."""
        return FigureStyle.model_validate(self.model_dump(include=set(FigureStyle.model_fields)))

    accuracy: Literal["train_accuracy", "test_accuracy"] = Field(
        "train_accuracy", description="the accuracy of Figure 1, the curves and required_pretraining.csv"
    )


class FigureSettings(Model):
    """Settings shared by all figures; a figure's own keys are in its module, goodsubnet.plots.figures.<figure>.

    The keys that a figure may ask for are those of `Offered`: it is drawn again where one of them changes.
    """

    code: str = ""
    style: FigureStyle = Field(default_factory=FigureStyle)


class Offered(FigureSettings):
    """What the figures of a target may ask for. Figures of no experiment get the style alone.

    accuracy: the column that says how good a subnetwork is. methods: in the order of the configuration; method: the
    first of them, bounded_method: the first that the bounds speak of. margin: of the answer. title: of the data.
    """

    accuracy: str = ""
    methods: list[str] = Field(default_factory=list)
    method: str = ""
    bounded_method: str = ""
    margin: float = 0.0
    title: str = ""
