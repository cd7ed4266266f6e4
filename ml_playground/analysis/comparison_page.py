"""A comparison as an HTML page."""

from collections.abc import Sequence

from ml_playground.analysis import plots
from ml_playground.analysis.page import Column, Details, Figure, Heading, Part, SideBySide, Table, Text, page
from ml_playground.analysis.pictures import Picture
from ml_playground.analysis.results import AXES, Comparison, Cost, Row, counted
from ml_playground.analysis.tables import remarks

Cell = str | float | None

_RESULTS = (
    Column("group", help="What differs from the base"),
    Column("n", help="Finished runs, each with another seed"),
    Column("mean", ".4f", "Loss at the end, the mean over seeds"),
    Column("sd", ".4f", "Standard deviation over seeds"),
    Column("to base", "+.4f", "Difference of the means"),
    Column("from", "+.4f", "Lower end of the 95% interval of the difference over seeds"),
    Column("to", "+.4f", "Upper end of the 95% interval of the difference over seeds"),
    Column("p", ".2g", "Of the t test, corrected for the number of rows (Holm)"),
    Column("verdict"),
    Column("text from", "+.4f", "Lower end of the 95% interval, had the validation text been another one"),
    Column("text to", "+.4f", "Upper end of the 95% interval, had the validation text been another one"),
    Column("p (permuted)", ".2g", "By rearranging the runs, which assumes no distribution; not corrected"),
    Column("its floor", ".2g", "The smallest p that so few runs can reach by rearranging"),
    Column("lowest", ".4f", "Lowest loss at any evaluation: biased downwards"),
)
_COSTS = (
    Column("group", help="What differs from the base"),
    Column("parameters", ",.0f", "Trainable values"),
    Column("without tables", ",.0f", "Without embedding tables"),
    Column("steps", ",.0f"),
    Column("tokens", ",.0f", "Trained on"),
    Column("FLOPs", ".2e", "By the model's estimate"),
    Column("seconds", ".1f", "Of training, without evaluating and saving"),
    *(Column(f"{axis} to base's loss", ".0%", f"Share of the base's {axis} that reaches its loss") for axis in AXES),
)


def as_html(comparison: Comparison, pictures: Sequence[Picture] = ()) -> str:
    """The page."""
    rows = comparison.rows
    parts: list[Part] = [
        Table(_RESULTS, [_result(row, rows[0]) for row in rows], f"{comparison.measure}; smaller is better"),
        Table(_COSTS, [_cost(row) for row in rows], "What it took"),
        *(Figure(plots.inline(each.figure), each.caption, each.caption) for each in pictures),
        Heading("What to bear in mind"),
        Text("\n\n".join(remarks(comparison)) or "Nothing."),
    ]
    if comparison.samples:
        parts += [Heading("Samples"), Text("The same prompt and the same seeds for all."), _samples(comparison)]
    parts += [Heading("Configurations"), *(_configuration(row) for row in rows)]
    return page("Comparison", parts, lead=_lead(rows))


def _lead(rows: Sequence[Row]) -> str:
    """The verdicts in a sentence."""
    said: dict[str, list[str]] = {}
    for row in rows[1:]:
        said.setdefault(row.verdict, []).append(row.name)
    return f"Compared with {rows[0].name}: " + "; ".join(
        f"{verdict}: {', '.join(names)}" for verdict, names in said.items()
    )


def _result(row: Row, base: Row) -> list[Cell]:
    found, text = row.difference, row.another_text
    return [
        row.name,
        len(row.seeds),
        row.mean,
        row.sd,
        None if row is base or row.mean is None or base.mean is None else row.mean - base.mean,
        None if found is None else found.interval.low,
        None if found is None else found.interval.high,
        row.p,
        f"{row.verdict} ({counted(row.failed)})" if row.failed else row.verdict,
        None if text is None else text.low,
        None if text is None else text.high,
        None if found is None else found.permutation.p,
        None if found is None else found.permutation.floor,
        row.lowest,
    ]


def _cost(row: Row) -> list[Cell]:
    shares: list[Cell] = [None if (share := row.shares.get(axis)) is None else share.value for axis in AXES]
    return [row.name, *_amounts(row.cost), *shares]


def _amounts(cost: Cost | None) -> list[Cell]:
    if cost is None:
        return [None] * 6
    return [cost.parameters, cost.without_tables, cost.steps, cost.tokens, cost.flops, cost.seconds]


def _samples(comparison: Comparison) -> SideBySide:
    return SideBySide([(f"{each.group}, seed {each.seed}", each.prompt + each.text) for each in comparison.samples])


def _configuration(row: Row) -> Details:
    changes = "\n\n".join(row.changes) or "As the base."
    return Details(row.name, [Text(changes), Text("Runs: " + (", ".join(row.runs) or "none finished"))])
