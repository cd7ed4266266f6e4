"""The tables of a comparison, what to bear in mind when reading them, and both for the terminal."""

from collections.abc import Callable, Iterator, Sequence

from ml_playground.analysis.budget import Share
from ml_playground.analysis.page import Cell, Column, Table, cell_text
from ml_playground.analysis.results import AXES, Axis, Comparison, Row, counted
from ml_playground.analysis.statistics import Interval
from ml_playground.utils.text import duration

_AXES: dict[Axis, str] = {"steps": "steps", "tokens": "tokens", "flops": "FLOPs", "seconds": "seconds"}
_Filled = tuple[Column, Callable[[Row], Cell]]
_GROUP = Column("group", help="what differs from the base")


def tables(comparison: Comparison) -> list[Table]:
    """What was found, by other means too, and what it took; without columns that have nothing in them."""
    made = [_results(comparison), _by_other_means(comparison), _costs(comparison)]
    if any(row.shares for row in comparison.rows):
        made.append(_budgets(comparison))
    return made


def _results(comparison: Comparison) -> Table:
    base = comparison.rows[0]
    columns: list[_Filled] = [
        (Column("n", help="finished runs, each with another seed"), _seeds),
        (Column("mean", ".4f", "over seeds"), lambda row: row.mean),
        (Column("sd", ".4f", "standard deviation over seeds"), lambda row: row.sd),
        (Column("to base", "+.4f", "difference of the means"), lambda row: _delta(row, base)),
        (Column("95% (seeds)", help="interval of the difference over seeds"), lambda row: _interval(row.over_seeds)),
        (Column("p", ".2g", "of the t test, corrected for the number of rows (Holm)"), lambda row: row.p),
        (Column("verdict"), lambda row: _verdict(row, comparison)),
    ]
    return _table(f"{comparison.measure[0].upper()}{comparison.measure[1:]}; smaller is better", columns, comparison)


def _by_other_means(comparison: Comparison) -> Table:
    columns: list[_Filled] = [
        (
            Column("95% (text)", help="interval of the difference, had the validation text been another one"),
            lambda row: _interval(row.over_text),
        ),
        (
            Column("p (permutation)", ".2g", "by rearranging the runs, which assumes no distribution; not corrected"),
            lambda row: None if row.permutation is None else row.permutation.p,
        ),
        (
            Column("its floor", ".2g", "the smallest p that so few runs can reach by rearranging"),
            lambda row: None if row.permutation is None else row.permutation.floor,
        ),
        (
            Column("p (equivalence)", ".2g", "of two one-sided tests, corrected for the number of rows (Holm)"),
            lambda row: row.p_equivalent,
        ),
        (Column("lowest", ".4f", "lowest loss at any evaluation: biased downwards"), lambda row: row.lowest),
    ]
    return _table("By other means", columns, comparison)


def _costs(comparison: Comparison) -> Table:
    columns = {
        "parameters": Column("parameters", ",.0f", "trainable values"),
        "without_tables": Column("no tables", ",.0f", "parameters without embedding tables"),
        "steps": Column("steps", ",.0f"),
        "tokens": Column("tokens", ",.0f", "trained on"),
        "flops": Column("FLOPs", ".2e", "by the model's estimate"),
        "seconds": Column("seconds", ",.1f", "of training, without evaluating and saving"),
    }
    return _table("What it took", [(column, _amount(name)) for name, column in columns.items()], comparison)


def _amount(name: str) -> Callable[[Row], Cell]:
    return lambda row: None if row.cost is None else getattr(row.cost, name)


def _budgets(comparison: Comparison) -> Table:
    base = comparison.rows[0]
    caption = f"What it needs to reach the last loss of {base.name}, as a share of what {base.name} needs"
    return _table(caption, [(Column(_AXES[axis]), _budget(axis, base)) for axis in AXES], comparison)


def _budget(axis: Axis, base: Row) -> Callable[[Row], Cell]:
    return lambda row: "1" if row is base else _share(row.shares.get(axis))


def _table(caption: str, columns: Sequence[_Filled], comparison: Comparison) -> Table:
    rows = comparison.rows
    filled = [(column, [cell_of(row) for row in rows]) for column, cell_of in columns]
    kept = [(column, cells) for column, cells in filled if any(cell is not None for cell in cells)]
    named = [(_GROUP, [row.name for row in rows]), *kept]
    return Table([column for column, _ in named], list(zip(*(cells for _, cells in named), strict=True)), caption)


def as_text(comparison: Comparison) -> str:
    """The tables for a terminal, with what to bear in mind below them."""
    lines: list[str] = []
    for table in tables(comparison):
        lines += [f"{table.caption}:", "", *_aligned(table), ""]
    lines += [f"{row.name}: {', '.join(row.changes)}" for row in comparison.rows if _says_more(row)]
    lines += remarks(comparison)
    return "\n".join(lines)


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
    text = (
        f"{row.name}: a difference of {power.detectable:.4f} or more would have been seen (80% power at p < "
        f"{power.level:.2g})"
    )
    if power.effect:
        needed = "more than a million seeds" if power.seeds is None else f"{power.seeds:,} seeds"
        time = "" if not power.minutes else f", {duration(60 * power.minutes)} more of training"
        text += f"; one of {power.effect:.2g} takes {needed} of both{time}"
    yield text


def _aligned(table: Table) -> Iterator[str]:
    rows = [[cell_text(*pair) or "-" for pair in zip(row, table.columns, strict=True)] for row in table.rows]
    lines = [[column.name for column in table.columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *others in lines:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def _says_more(row: Row) -> bool:
    """Whether a row's changes are not in its name."""
    return bool(row.changes) and not all(each.rpartition("] ")[2] in row.name for each in row.changes)


def _seeds(row: Row) -> Cell:
    return f"{len(row.seeds)} ({counted(row.failed)})" if row.failed else len(row.seeds)


def _delta(row: Row, base: Row) -> float | None:
    if row.difference is not None:
        return row.difference.mean
    return None if row is base or row.mean is None or base.mean is None else row.mean - base.mean


def _interval(interval: Interval | None) -> str | None:
    return None if interval is None else f"{interval.low:+.4f} to {interval.high:+.4f}"


def _verdict(row: Row, comparison: Comparison) -> str | None:
    if row.verdict == "base":
        return None
    if row.verdict == "equivalent" and comparison.equivalence is not None:
        return f"equivalent within {comparison.equivalence:g}"
    return row.verdict


def _share(share: Share | None) -> str | None:
    if share is None or share.value is None:
        return None if share is None else "never"
    if share.interval is None:
        return f"{share.value:.2f}"
    high = f"{share.interval.high:.2f}" if share.interval.high < float("inf") else "never"
    return f"{share.value:.2f} ({share.interval.low:.2f} to {high})"
