"""A comparison as text for the terminal, and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ml_playground.analysis.bootstrap import Share
from ml_playground.analysis.results import AXES, Axis, Comparison, Cost, Row, counted
from ml_playground.analysis.statistics import Interval
from ml_playground.utils.text import duration

_NONE = "-"
_AXES: dict[Axis, str] = {"steps": "steps", "tokens": "tokens", "flops": "FLOPs", "seconds": "seconds"}
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        title: what it is headed by.
        cells: one for each row.
        about: what the numbers are.
    """

    title: str
    cells: list[str]
    about: str = ""


def result_columns(comparison: Comparison) -> list[Column]:
    """What was found, a cell for each row."""
    rows = comparison.rows
    columns = [
        Column("", [row.name for row in rows], "what differs from the base"),
        Column("n", [_seeds(row) for row in rows], "finished runs, each with another seed"),
        Column("mean", [_number(row.mean) for row in rows], "loss at the end"),
        Column("sd", [_number(row.sd) for row in rows], "standard deviation over seeds"),
        Column("to base", [_number(_delta(row, rows[0]), sign=True) for row in rows], "difference of the means"),
        Column(
            "95% (seeds)",
            [_interval(row.over_seeds) for row in rows],
            "over seeds",
        ),
        Column("95% (text)", [_interval(row.another_text) for row in rows], "had the validation text been another one"),
        Column("p", [_p(row.p) for row in rows], "of the t test, corrected for the number of rows (Holm)"),
        Column("verdict", [_verdict(row, comparison) for row in rows]),
        Column("p (permuted)", [_permuted(row) for row in rows], "without assuming a distribution, not corrected"),
        Column("lowest", [_number(row.lowest) for row in rows], "lowest loss at any evaluation: biased downwards"),
    ]
    return [each for each in columns if not each.title or set(each.cells) != {_NONE}]


def cost_columns(comparison: Comparison) -> list[Column]:
    """What it took, a cell for each row."""
    rows, costs = comparison.rows, [row.cost for row in comparison.rows]
    columns = [
        Column("", [row.name for row in rows], "what differs from the base"),
        Column("parameters", [_amount(each, "parameters") for each in costs], "trainable values"),
        Column(
            "no tables",
            [_amount(each, "without_tables") for each in costs],
            "without embedding tables",
        ),
        Column("tokens", [_amount(each, "tokens") for each in costs], "trained on"),
        Column("FLOPs", [_flops(each) for each in costs], "by the model's estimate"),
        Column("seconds", [_seconds(each) for each in costs], "of training, without evaluating"),
    ]
    for axis in AXES:
        cells = [_share(row.shares.get(axis)) for row in rows[1:]]
        title = f"{_AXES[axis]} to base's loss"
        columns.append(Column(title, ["1", *cells], f"share of the base's {_AXES[axis]} that reaches its loss"))
    return [each for each in columns if set(each.cells[1:]) != {_NONE}]


def as_text(comparison: Comparison) -> str:
    """The tables for a terminal, with what to bear in mind below them."""
    lines = [f"{comparison.measure}; smaller is better", ""]
    for columns in (result_columns(comparison), cost_columns(comparison)):
        lines += [*_aligned(columns), ""]
    lines += [f"{row.name}: {', '.join(row.changes)}" for row in comparison.rows if _says_more(row)]
    lines += remarks(comparison)
    return "\n".join(lines)


def as_markdown(comparison: Comparison, pictures: Mapping[str, str] | None = None) -> str:
    """The same as Markdown, with the configurations' differences and the samples.

    Args:
        comparison: the table.
        pictures: names of files beside it, with their captions.
    """
    lines = ["# Comparison", "", f"{comparison.measure[0].upper()}{comparison.measure[1:]}; smaller is better.", ""]
    for columns in (result_columns(comparison), cost_columns(comparison)):
        lines += [*_markdown(columns), ""]
    for file, caption in (pictures or {}).items():
        lines += [f"![{caption}]({file})", "", caption, ""]
    lines += [f"- {each}" for each in remarks(comparison)]
    lines += ["", "## Configurations", ""]
    for row in comparison.rows:
        lines += [f"- **{row.name}**: {', '.join(f'`{each}`' for each in row.changes) or 'as the base'}"]
        lines += [f"  - runs: {', '.join(f'`{each}`' for each in row.runs) or _NONE}"]
    if comparison.samples:
        lines += ["", "## Samples", "", "The same prompt and the same seeds for all."]
    for sample in comparison.samples:
        lines += ["", f"**{sample.group}**, seed {sample.seed}:", "", *_quoted(sample.prompt + sample.text)]
    return "\n".join([*lines, ""])


def remarks(comparison: Comparison) -> Iterator[str]:
    """What to bear in mind: how it was tested, what could have been seen, what is left out."""
    tested = [row for row in comparison.rows if row.difference is not None]
    for paired in (True, False):
        names = [row.name for row in tested if row.difference and row.difference.paired is paired]
        if names:
            which = "" if len(names) == len(tested) else f"{'; '.join(names)}: "
            yield f"{which}{_PAIRED if paired else _WELCH}"
    if len(tested) > 1:
        yield (
            f"p and verdict are corrected for {len(tested)} comparisons (Holm), intervals are not: one may lie on one "
            "side of 0 where the verdict is cannot tell"
        )
    if comparison.pooled_sd is not None:
        yield f"standard deviation within groups, pooled: {comparison.pooled_sd:.4f}"
    for row in tested:
        yield from _power(row)
    if comparison.equivalence is not None:
        yield f"equivalent: two one-sided tests show that the difference is below {comparison.equivalence:g}"
    for each in comparison.notes:
        yield f"! {each}"
    for left in comparison.left_out:
        yield f"! not compared: {left.name}: {left.reason}"


_PAIRED = "compared by pairs of runs of the same seed, which saw the same batches (paired t test)"
_WELCH = "compared as independent runs: other seeds or other batches (Welch's t test)"


def _power(row: Row) -> Iterator[str]:
    power = row.power
    if power is None or row.verdict != "cannot tell":
        return
    text = f"{row.name}: a difference of {power.detectable:.4f} or more would have been seen (80% power)"
    if power.effect:
        needed = "more than a million seeds" if power.seeds is None else f"{power.seeds:,} seeds"
        time = "" if power.minutes is None else f", {duration(60 * power.minutes)} of training"
        text += f"; for {power.effect:.2g} it takes {needed} of each{time}"
    yield text


def _aligned(columns: Sequence[Column]) -> Iterator[str]:
    widths = [max(map(len, (each.title, *each.cells))) for each in columns]
    for line in ([each.title for each in columns], *zip(*(each.cells for each in columns), strict=True)):
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()


def _markdown(columns: Sequence[Column]) -> Iterator[str]:
    yield f"| {' | '.join(each.title for each in columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    for cells in zip(*(each.cells for each in columns), strict=True):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _quoted(text: str) -> Iterator[str]:
    yield "```text"
    yield text.replace("```", "'''")
    yield "```"


def _says_more(row: Row) -> bool:
    """Whether a row's changes are not in its name."""
    return bool(row.changes) and not all(each.rpartition("] ")[2] in row.name for each in row.changes)


def _seeds(row: Row) -> str:
    return f"{len(row.seeds)}" + (f" ({counted(row.failed)})" if row.failed else "")


def _delta(row: Row, base: Row) -> float | None:
    return None if row is base or row.mean is None or base.mean is None else row.mean - base.mean


def _number(value: float | None, *, sign: bool = False) -> str:
    return _NONE if value is None else f"{value:+.4f}" if sign else f"{value:.4f}"


def _interval(interval: Interval | None) -> str:
    return _NONE if interval is None else f"{interval.low:+.4f} to {interval.high:+.4f}"


def _p(p: float | None) -> str:
    return _NONE if p is None else "<0.0001" if p < 1e-4 else f"{p:.2g}"


def _permuted(row: Row) -> str:
    if row.difference is None:
        return _NONE
    found = row.difference.permutation
    return f"{_p(found.p)} (at least {_p(found.floor)})"


def _verdict(row: Row, comparison: Comparison) -> str:
    if row.verdict == "base":
        return ""
    if row.verdict == "equivalent" and comparison.equivalence is not None:
        return f"equivalent within {comparison.equivalence:g}"
    return row.verdict


def _amount(cost: Cost | None, name: Literal["parameters", "without_tables", "tokens"]) -> str:
    value: float | None = None if cost is None else getattr(cost, name)
    if value is None:
        return _NONE
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _flops(cost: Cost | None) -> str:
    return _NONE if cost is None else f"{cost.flops:.2e}"


def _seconds(cost: Cost | None) -> str:
    return _NONE if cost is None else f"{cost.seconds:.3g}"


def _share(share: Share | None) -> str:
    if share is None:
        return _NONE
    high = f"{share.interval.high:.2f}" if share.interval.high < float("inf") else "never"
    found = "never" if share.value is None else f"{share.value:.2f}"
    return found if share.value is None else f"{found} ({share.interval.low:.2f} to {high})"
