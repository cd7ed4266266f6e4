"""Pages as Markdown: the same parts as in HTML, without colours and what opens on a click."""

from collections.abc import Iterator, Sequence

from ml_playground.analysis.page import Cell, Column, Details, Figure, Heading, Part, SideBySide, Table, Text, cell_text


def as_markdown(title: str, parts: Sequence[Part], *, lead: str = "") -> str:
    """The parts in Markdown.

    Args:
        title: the heading.
        parts: what is on the page, in order. Figures are links to their files; those without one are left out, as their
            numbers are in tables.
        lead: a paragraph below the heading.

    Raises:
        TypeError: a part has no form in Markdown, such as a passage with colours.
    """
    blocks = [f"# {title}", *([lead] if lead else []), *(block for part in parts for block in _blocks(part))]
    return "\n\n".join(blocks) + "\n"


def _blocks(part: Part) -> Iterator[str]:
    match part:
        case Heading(text, level):
            yield f"{'#' * level} {text}"
        case Text(text):
            yield text
        case Figure():
            if part.file:
                yield f"![{part.alt}]({part.file})"
                yield part.caption
        case Table():
            yield "\n".join(_table(part))
        case Details(summary, parts):
            yield f"**{summary}**"
            for each in parts:
                yield from _blocks(each)
        case SideBySide(samples):
            for name, text in samples:
                yield f"{name}:"
                yield "\n".join(f"    {line}" for line in text.splitlines() or [""])
        case _:
            raise TypeError(f"{type(part).__name__} has no form in Markdown")


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield f"{table.caption}:\n"
    yield f"| {' | '.join(column.name for column in table.columns)} |"
    yield f"|{''.join(' ---: |' if numeric else ' --- |' for numeric in table.numeric)}"
    for row in table.rows:
        yield f"| {' | '.join(_cell(*pair) for pair in zip(row, table.columns, strict=True))} |"


def _cell(cell: Cell, column: Column) -> str:
    return " ".join(cell_text(cell, column).replace("|", "\\|").split())
