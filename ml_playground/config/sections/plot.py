"""`[plot]`: what `plot` draws."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ml_playground.config.fields import Section

PlotAxis = Literal["steps", "tokens", "flops", "seconds"]


def _some_and_each_once(axes: list[PlotAxis]) -> list[PlotAxis]:
    if not axes or len(set(axes)) < len(axes):
        raise ValueError('must name at least one, and each once, such as ["steps", "seconds"]')
    return axes


class PlotConfig(Section):
    """What `plot` draws."""

    runs: list[Path] = Field(
        [],
        description="run directories to draw beside the experiment's own run, or folders of some; those that differ in "
        "their seed only are drawn as one, with their mean",
    )
    x: Annotated[list[PlotAxis], AfterValidator(_some_and_each_once)] = Field(
        ["steps", "seconds"], description="what the losses are drawn over: a picture for each"
    )
    log_x: bool = Field(False, description="whether that axis is logarithmic")
    log_y: bool = Field(False, description="whether the losses are drawn on a logarithmic axis")
