"""`reports/loss.svg`: the losses and the learning rate of one run, drawn when its training ends.

It is written without matplotlib, whose import takes longer than some trainings and which not everybody has installed.
`plot` draws all else.
"""

import html
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.records import MetricRow
from ml_playground.utils.files import atomic_write

_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT = 64, 640
_MOST_POINTS = 1000
_WIDE = 20.0  # times the smallest, from which on a logarithmic axis has ticks at powers of ten
_STYLE = """
svg { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; background: #ffffff; color: #1f2328 }
text { fill: currentColor } .soft { fill: #57606a } .line { stroke: #d8dee4 } path, .line { fill: none }
.train { stroke: #e69f00; stroke-width: 1.2 } .val { stroke: #0072b2; stroke-width: 2.2 }
.rate { stroke: #009e73; stroke-width: 1.6 } .dot { fill: #0072b2 }
@media (prefers-color-scheme: dark) {
  svg { background: #14171c; color: #e6e8eb } .soft { fill: #9aa4af } .line { stroke: #363d47 }
  .val { stroke: #4ba3dc } .dot { fill: #4ba3dc } .rate { stroke: #2fc096 }
}"""

Point = tuple[float, float]


def write_loss_svg(run: RunDirectory) -> None:
    """Draw `metrics.jsonl` of a run into its folder of reports, if there is anything to draw.

    Raises:
        StorageError: the system refuses to write there.
    """
    picture = loss_svg(Run(run).metrics(), run.path.name)
    if picture is not None:
        with atomic_write(run.reports / "loss.svg") as file:
            file.write(picture.encode(errors="backslashreplace"))


def loss_svg(rows: Sequence[MetricRow], name: str) -> str | None:
    """Training and validation loss over the steps, the best validation loss marked, and the learning rate below.

    Args:
        rows: of `metrics.jsonl`.
        name: of the run.

    Returns:
        An SVG file that follows a light or dark theme; None if no loss was measured.
    """
    train, val, rate = (_points(rows, metric) for metric in ("train/loss", "val/loss", "train/lr"))
    train, val = ([each for each in points if each[1] > 0] for points in (train, val))  # the axis is logarithmic
    losses = [y for _, y in (*train, *val)]
    if not losses:
        return None
    last = max(row.step for row in rows)
    panel = _Panel(70, 320, min(losses) * 0.98, max(losses) * 1.02, max(1, last), log=True)
    lines = [*panel.frame("nats per token", below=not rate)]
    lines += [panel.path(_thinned(train), "train"), panel.path(val, "val")]
    lines += _names(panel, [("validation", val, "val"), ("training", train, "train")])
    if val:
        lines += _best(panel, val)
    if rate:
        below = _Panel(354, 410, 0.0, max(y for _, y in rate) or 1.0, max(1, last), log=False)
        lines += [*below.frame("", below=True), below.path(_thinned(rate), "rate")]
        lines += _names(below, [("learning rate", rate, "rate")])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
    title = (
        f'<title>Loss of {html.escape(name)}</title><text x="{_LEFT}" y="26" font-size="16">{html.escape(name)}</text>'
    )
    return "\n".join([head, f"<style>{_STYLE}\n</style>", title, *lines, "</svg>", ""])


class _Panel(NamedTuple):
    """A pair of axes: heights in the picture, limits of the values, the last step, and whether it is logarithmic."""

    top: float
    bottom: float
    low: float
    high: float
    last: int
    log: bool

    def x(self, step: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * step / self.last, 1)

    def y(self, value: float) -> float:
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.bottom - (self.bottom - self.top) * share, 1)

    def path(self, points: Sequence[Point], kind: str) -> str:
        """A line through points, in the style of its kind."""
        corners = " L".join(f"{self.x(step)} {self.y(value)}" for step, value in points)
        return f'<path class="{kind}" d="M{corners}"/>' if len(points) > 1 else ""

    def frame(self, unit: str, *, below: bool) -> Iterator[str]:
        """Grid and ticks; those of the steps only `below`."""
        if unit:
            yield f'<text class="soft" x="{_LEFT}" y="{self.top - 14}">{unit}, logarithmic</text>'
        for value in self._ticks():
            y = self.y(value)
            yield f'<path class="line" d="M{_LEFT} {y} H{_RIGHT}"/>'
            yield f'<text class="soft" x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>'
        if below:
            for step in _round_numbers(0, self.last, min(6, self.last)):
                x = f'x="{self.x(step)}" y="{self.bottom + 20}"'
                yield f'<text class="soft" {x} text-anchor="middle">{step:,.0f}</text>'
            yield f'<text class="soft" x="{_LEFT}" y="{self.bottom + 40}">optimizer steps</text>'

    def _ticks(self) -> list[float]:
        if self.log and self.high > _WIDE * self.low:
            exponents = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            return [10.0**each for each in exponents]
        few = _round_numbers(self.low, self.high, 6 if self.log else 2)
        apart: list[float] = []
        for each in reversed(few):  # on a logarithmic axis the upper ones are close together
            if not apart or self.y(each) - self.y(apart[-1]) > 18:
                apart.append(each)
        return apart


def _points(rows: Sequence[MetricRow], metric: str) -> list[Point]:
    return [(row.step, row.values[metric]) for row in rows if metric in row.values]


def _thinned(points: list[Point]) -> list[Point]:
    """Of many points the lowest and the highest of each stretch, so that the line looks the same."""
    if len(points) <= _MOST_POINTS:
        return points
    kept: list[Point] = []
    for stretch in np.array_split(np.arange(len(points)), _MOST_POINTS // 2):
        part = [points[int(each)] for each in stretch]
        kept += sorted({min(part, key=lambda each: each[1]), max(part, key=lambda each: each[1])})
    return kept


def _names(panel: _Panel, lines: Sequence[tuple[str, list[Point], str]]) -> Iterator[str]:
    """The name of each line at its end, with its last value, far enough from the others."""
    ends = sorted((panel.y(points[-1][1]), name, points[-1][1], kind) for name, points, kind in lines if points)
    heights: list[float] = []
    for y, *_ in ends:
        heights.append(max(y, heights[-1] + 36) if heights else y)
    too_low = max(0.0, heights[-1] + 20 - panel.bottom) if heights else 0.0
    for (_, name, value, kind), height in zip(ends, heights, strict=True):
        y = round(height - too_low, 1)
        yield f'<path class="{kind}" d="M{_RIGHT + 6} {y} h10"/>'
        yield f'<text x="{_RIGHT + 20}" y="{y + 4}">{name}</text>'
        yield f'<text class="soft" x="{_RIGHT + 20}" y="{y + 20}">{value:.4g}</text>'


def _best(panel: _Panel, val: Sequence[Point]) -> Iterator[str]:
    """A dot on each evaluation if there are few, a larger one on the best, and what it is."""
    if len(val) <= 40:
        yield from (f'<circle class="dot" cx="{panel.x(s)}" cy="{panel.y(v)}" r="2.5"/>' for s, v in val)
    step, loss = min(val, key=lambda each: (each[1], each[0]))
    yield f'<circle class="dot" cx="{panel.x(step)}" cy="{panel.y(loss)}" r="5"/>'
    said = f"best validation loss {loss:.4f}, at step {step:,.0f}"
    yield f'<text x="{_RIGHT}" y="26" text-anchor="end">{said}</text>'


def _round_numbers(low: float, high: float, count: int) -> list[float]:
    """About as many round numbers from `low` to `high`."""
    rough = (high - low) / count or abs(high) / count or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(each * unit for each in (1, 2, 5, 10) if each * unit >= rough * (1 - 1e-9))
    return [round(each * step, 12) for each in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
