"""`[sweep]`: runs that differ in one thing each, so that they can be compared."""

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt

from ml_playground.config.fields import Section
from ml_playground.utils.tables import is_table

Match = Literal["steps", "tokens", "flops", "seconds"]


def _different_seeds(seeds: list[int]) -> list[int]:
    if any(seed < 0 for seed in seeds) or len(set(seeds)) < len(seeds):
        raise ValueError("must be different whole numbers from 0 on")
    return seeds


def _ascending(horizons: list[float]) -> list[float]:
    rises = all(before < after for before, after in pairwise([0.0, *horizons]))
    if not horizons or not rises or not math.isfinite(horizons[-1]):
        raise ValueError("must be shares of max_iters in ascending order, such as [0.25, 0.5, 1.0]")
    return horizons


def _dotted_keys(grid: object) -> object:
    if is_table(grid):
        for key, values in grid.items():
            if is_table(values):
                raise ValueError(
                    'needs each key whole and in quotes, such as "train.optim.learning_rate" = [1e-3, 3e-3]'
                )
            if values == []:
                raise ValueError(f"{key} has no values")
    return grid


def _zero_or_more_than_one(divisor: int) -> int:
    if divisor == 1:
        raise ValueError("must be 0, for off, or at least 2: 3 keeps the best third")
    return divisor


class SweepConfig(Section):
    """Runs to compare: the file's own configuration, which is the arm `base`, and arms that change something in it."""

    seeds: Annotated[list[int], AfterValidator(_different_seeds)] = Field(
        [], description="every arm is trained with each of these (as `[train.runtime] seed`); needed for a sweep"
    )
    match: Match = Field(
        "steps",
        description="what every arm gets as much of as the base; other than for steps, `max_iters` of an arm follows, "
        "and the schedule with it",
    )
    arms: dict[str, dict[str, Any]] = Field(
        {}, description='a table of changes for each arm, such as `rope = { train.model.position = "rope" }`'
    )
    grid: Annotated[dict[str, list[Any]], BeforeValidator(_dotted_keys)] = Field(
        {},
        description='an arm for each combination of values, such as `"train.optim.learning_rate" = [1e-3, 3e-3]`; '
        "beside `arms`",
    )
    horizons: Annotated[list[float], AfterValidator(_ascending)] = Field(
        [1.0], description="complete lengths of each run, as shares of `max_iters`; the schedule is stretched to each"
    )
    halving: Annotated[NonNegativeInt, AfterValidator(_zero_or_more_than_one)] = Field(
        0, description="after each horizon keep the best arms only: 3 keeps a third of them, and the base; 0 keeps all"
    )
    jobs: NonNegativeInt = Field(
        0,
        le=256,
        description="runs at the same time, among which the threads are divided; 0 is one for each core, 8 at most, or "
        "one for each GPU",
    )
