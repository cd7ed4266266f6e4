"""A comparison as a page: HTML and Markdown."""

from collections.abc import Iterator, Sequence

from ml_playground.analysis import markdown, plots
from ml_playground.analysis.page import Details, Figure, Heading, Part, SideBySide, Text, page
from ml_playground.analysis.pictures import Picture
from ml_playground.analysis.results import Comparison, Row
from ml_playground.analysis.tables import remarks, tables

_VERDICTS = {
    "better": "better than {}",
    "worse": "worse than {}",
    "equivalent": "equivalent to {}",
    "cannot tell": "cannot tell from {}",
    "diverged": "diverged",
    "failed": "failed",
}


def as_html(comparison: Comparison, pictures: Sequence[Picture] = ()) -> str:
    """The page."""
    return page(_title(comparison), list(_parts(comparison, pictures)), lead=_lead(comparison.rows))


def as_markdown(comparison: Comparison, pictures: Sequence[Picture] = ()) -> str:
    """The same in Markdown, with links to the files of the pictures."""
    return markdown.as_markdown(_title(comparison), list(_parts(comparison, pictures)), lead=_lead(comparison.rows))


def _title(comparison: Comparison) -> str:
    return f"Comparison on {comparison.dataset}"


def _lead(rows: Sequence[Row]) -> str:
    """The verdicts in a sentence."""
    base, *others = rows
    found = [
        f"{words.format(base.name)}: {', '.join(row.name for row in others if row.verdict == verdict)}"
        for verdict, words in _VERDICTS.items()
        if any(row.verdict == verdict for row in others)
    ]
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}."


def _parts(comparison: Comparison, pictures: Sequence[Picture]) -> Iterator[Part]:
    yield from tables(comparison)
    for each in pictures:
        yield Figure(plots.inline(each.figure), each.caption, each.caption, each.file)
    yield Heading("What to bear in mind")
    yield Text("\n\n".join(remarks(comparison)) or "Nothing.")
    if comparison.samples:
        yield Heading("Samples")
        yield Text("The same prompt and the same seeds for all.")
        yield SideBySide([(f"{each.group}, seed {each.seed}", each.prompt + each.text) for each in comparison.samples])
    yield Heading("Configurations")
    yield Text("\n\n".join(comparison.about))
    for row in comparison.rows:
        runs = f"Runs: {', '.join(row.runs) or 'none finished'}"
        yield Details(row.name, [Text("\n\n".join([*row.changes, runs]))])
