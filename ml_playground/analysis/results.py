"""The table that a comparison makes, whatever it is written to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from ml_playground.analysis.budget import Share
from ml_playground.analysis.members import LeftOut
from ml_playground.analysis.statistics import Difference, Interval, Permutation

Unit = Literal["nats/token", "bits/byte"]
Axis = Literal["steps", "tokens", "flops", "seconds"]
Verdict = Literal["base", "better", "worse", "equivalent", "cannot tell", "diverged", "failed"]

AXES: tuple[Axis, ...] = ("steps", "tokens", "flops", "seconds")


@dataclass(frozen=True)
class Cost:
    """What a run takes, the mean of a group's finished runs.

    Attributes:
        parameters: trainable values.
        without_tables: the same without embedding tables; None where that is not recorded.
        steps: of the optimiser.
        tokens: trained on.
        flops: floating-point operations, by the model's estimate.
        seconds: of training, without evaluating and saving.
    """

    parameters: int
    without_tables: int | None
    steps: float
    tokens: float
    flops: float
    seconds: float


@dataclass(frozen=True)
class Power:
    """What so many seeds can see, at 80% power.

    Attributes:
        detectable: the smallest true difference that would be found.
        level: what p has to be below: 0.05 by the number of tests.
        effect: a difference to look for: `[compare] equivalence`, else half of what would be found.
        seeds: that each group needs to find it; None if more than a million.
        minutes: of training until both groups have so many.
    """

    detectable: float
    level: float
    effect: float
    seeds: int | None
    minutes: float | None


@dataclass(frozen=True)
class Row:
    """A group.

    Attributes:
        name: what it is called.
        changes: what its configuration changes in that of the base, as lines of TOML.
        runs: folders of its finished runs, by seed.
        seeds: of these.
        failed: how many others diverged or failed.
        losses: at the end, by seed.
        mean: of the losses; None where no run is finished.
        sd: their standard deviation; None for fewer than two.
        lowest: mean of the lowest loss of each run at any evaluation. It is biased: the more often a run is evaluated,
            the lower it is by chance.
        cost: what a run takes; None where none is finished.
        difference: from the base, over seeds; None where a side has fewer than two runs.
        p: of the difference, corrected for the number of groups (Holm).
        p_equivalent: that the true difference is `Comparison.equivalence` or more, corrected as well.
        permutation: the same question as that of `p` without assuming a distribution, not corrected.
        verdict: what that amounts to.
        over_text: interval of the difference, had the validation text been another one.
        shares: of what the base needs to reach the loss at its end, by axis.
        power: what could have been seen.
    """

    name: str
    changes: list[str]
    runs: list[str]
    seeds: list[int]
    failed: dict[str, int]
    losses: list[float]
    mean: float | None
    sd: float | None
    lowest: float | None
    cost: Cost | None
    difference: Difference | None = None
    p: float | None = None
    p_equivalent: float | None = None
    permutation: Permutation | None = None
    verdict: Verdict = "cannot tell"
    over_text: Interval | None = None
    shares: dict[Axis, Share] = field(default_factory=dict[Axis, Share])
    power: Power | None = None

    @property
    def over_seeds(self) -> Interval | None:
        """The interval of the difference over seeds."""
        return None if self.difference is None else self.difference.interval


@dataclass(frozen=True)
class Sample:
    """A text that a group's model wrote."""

    group: str
    seed: int
    prompt: str
    text: str


@dataclass(frozen=True)
class Comparison:
    """A table of groups, the base first.

    Attributes:
        dataset: what the base was trained on.
        unit: of all losses.
        measure: what the losses are, in words.
        rows: the base first.
        equivalence: differences below this do not matter; None if all do.
        pooled_sd: standard deviation within groups, as if all varied alike; None without two runs of a group.
        left_out: what is not in the table, and why.
        notes: what to bear in mind.
        about: where the base's configuration is from, and on what, with what and when all was trained.
        samples: texts of each group, from the same prompt and seeds.
    """

    dataset: str
    unit: Unit
    measure: str
    rows: list[Row]
    equivalence: float | None
    pooled_sd: float | None
    left_out: list[LeftOut]
    notes: list[str]
    about: list[str]
    samples: list[Sample] = field(default_factory=list[Sample])

    def as_json(self) -> dict[str, Any]:
        """Plain values; None for a number that is not finite."""
        values: dict[str, Any] = _plain(self)
        return values


def counted(failed: Mapping[str, int]) -> str:
    """How many runs ended how, such as "1 diverged, 2 failed"."""
    return ", ".join(f"{count} {status}" for status, count in failed.items())


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # any mapping
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]  # of anything
    return None if isinstance(value, float) and not math.isfinite(value) else value
