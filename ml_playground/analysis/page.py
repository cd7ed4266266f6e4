"""Self-contained HTML pages: no server, no network, readable in light and dark, on a phone and on paper.

page("Title", [Heading("Results"), Table([Column("arm"), Column("loss", ".4f")], [["base", 1.9084]])])
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ml_playground.analysis.markup import data_script, escaped, finite, resource, script_hash, visible

Cell = str | float | None

SHADES = (0.25, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0)
"""Bits from which on a token has the next darker shade."""


@dataclass(frozen=True)
class Heading:
    """A heading; one of level 3 is below one of level 2."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Text:
    """A paragraph; blank lines separate several."""

    text: str


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        format: of its numbers, as `format` takes it, such as `.4f`, `+.3f` or `.1%`; by default whole numbers in full,
            others with four digits.
        help: what it means, shown on hover and focus.
    """

    name: str
    format: str = ""
    help: str = ""


@dataclass(frozen=True)
class Table:
    """A table that a click on a heading sorts.

    Attributes:
        columns: its columns.
        rows: of each, as many cells as there are columns; None is an empty cell.
        caption: above it.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Which columns have numbers."""
        cells = zip(*self.rows, strict=True) if self.rows else [() for _ in self.columns]
        return [any(isinstance(cell, int | float) for cell in column) for column in cells]


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        svg: an SVG element that refers to nothing outside it, as `plots.inline` returns it.
        caption: below it.
        alt: what it shows, for those who do not see it.
        file: the name of the same picture's file, for a page in Markdown.
    """

    svg: str
    caption: str
    alt: str
    file: str = ""


@dataclass(frozen=True)
class Details:
    """Parts that are shown when their summary is clicked; on paper they are always shown."""

    summary: str
    parts: "Sequence[Part]"


@dataclass(frozen=True)
class Token:
    """A token of a passage.

    Attributes:
        text: what it stands for.
        bits: of information, -log2 of its probability; None if it was not predicted.
        alternatives: the likeliest tokens in its place, each with its probability.
    """

    text: str
    bits: float | None
    alternatives: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Passage:
    """A text whose tokens are coloured by their bits; hovering, tapping or the arrow keys show the alternatives."""

    tokens: Sequence[Token]
    caption: str = ""


@dataclass(frozen=True)
class SideBySide:
    """Texts beside each other, each with its name; below each other on a narrow screen."""

    samples: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Widget:
    """A part with a script of its own. A page has each of them once.

    Attributes:
        name: of the files with its style and its script beside this one, and of the element with its data.
        html: its elements, in which texts are escaped already.
        data: what its script reads, as JSON types.
    """

    name: str
    html: str
    data: object


Part = Heading | Text | Table | Figure | Details | Passage | SideBySide | Widget


def page(title: str, parts: Sequence[Part], *, lead: str = "") -> str:
    """An HTML page.

    Args:
        title: its heading, and the name of the browser's tab.
        parts: what is on it, in order.
        lead: a paragraph below the heading that says the most important.
    """
    widgets = [part for part in parts if isinstance(part, Widget)]
    names = ["page", *(each.name for each in widgets)]
    style, scripts = "".join(resource(f"{name}.css") for name in names), [resource(f"{name}.js") for name in names]
    alternatives = _Alternatives()
    body = [f"<h1>{escaped(title)}</h1>"]
    if lead:
        body.append(f'<p class="lead">{escaped(lead)}</p>')
    body += [_html(part, alternatives) for part in parts]
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {' '.join(map(script_hash, scripts))}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<link rel="icon" href="data:,">',
            f"<title>{escaped(title)}</title>",
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            '<div id="tip" role="tooltip" hidden></div>',
            data_script("alternatives", alternatives.as_json()),
            *(data_script(each.name, each.data) for each in widgets),
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


@dataclass
class _Alternatives:
    """The alternatives of all tokens of a page, each text once.

    `tokens` has a list for each token, in the order of the page: its bits, then number of a text and probability of
    each alternative.
    """

    numbers: dict[str, int] = field(default_factory=dict[str, int])
    tokens: list[list[float]] = field(default_factory=list[list[float]])

    def add(self, token: Token) -> None:
        """Append those of a token."""
        values: list[float] = [-1 if token.bits is None else finite(token.bits, 2)]
        for text, probability in token.alternatives:
            values += [self.numbers.setdefault(visible(text), len(self.numbers)), finite(probability, 4)]
        self.tokens.append(values)

    def as_json(self) -> dict[str, Any]:
        """What the script reads."""
        return {"texts": list(self.numbers), "tokens": self.tokens}


def _html(part: Part, alternatives: _Alternatives) -> str:
    match part:
        case Heading(text, level):
            return f"<h{level}>{escaped(text)}</h{level}>"
        case Text(text):
            return "\n".join(f"<p>{escaped(each.strip())}</p>" for each in text.split("\n\n") if each.strip())
        case Table():
            return "\n".join(_table(part))
        case Figure():
            picture = f'<div class="picture" role="img" aria-label="{escaped(part.alt)}">{part.svg}</div>'
            return f"<figure>{picture}<figcaption>{escaped(part.caption)}</figcaption></figure>"
        case Details(summary, parts):
            inner = "\n".join(_html(each, alternatives) for each in parts)
            return f"<details><summary>{escaped(summary)}</summary>\n{inner}\n</details>"
        case Passage():
            return _passage(part, alternatives)
        case SideBySide(samples):
            texts = "".join(
                f"<section><h4>{escaped(name)}</h4><div class='sample'>{escaped(text)}</div></section>"
                for name, text in samples
            )
            return f'<div class="samples">{texts}</div>'
        case Widget(html=html):
            return html


def _table(table: Table) -> Iterator[str]:
    numeric = table.numeric
    label = f' aria-label="{escaped(table.caption)}"' if table.caption else ""
    yield f'<div class="scroll" tabindex="0" role="region"{label}><table>'
    if table.caption:
        yield f"<caption>{escaped(table.caption)}</caption>"
    heads = (_head(column, right) for column, right in zip(table.columns, numeric, strict=True))
    yield f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>"
    for row in table.rows:
        yield f"<tr>{''.join(_cell(*each) for each in zip(row, table.columns, numeric, strict=True))}</tr>"
    yield "</tbody></table></div>"


def _head(column: Column, right: bool) -> str:
    tip = f' data-tip="{escaped(column.help)}"' if column.help else ""
    kind = ' class="number"' if right else ""
    return f'<th scope="col"{kind} aria-sort="none"><button type="button"{tip}>{escaped(column.name)}</button></th>'


def _cell(cell: Cell, column: Column, right: bool) -> str:
    kind = ' class="number"' if right else ""
    value = f' data-value="{cell!r}"' if isinstance(cell, int | float) and math.isfinite(cell) else ""
    return f"<td{kind}{value}>{escaped(cell_text(cell, column))}</td>"


def cell_text(cell: Cell, column: Column) -> str:
    """What a cell shows, empty for None."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if column.format and math.isfinite(cell):
        return format(cell, column.format)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}"


def _passage(passage: Passage, alternatives: _Alternatives) -> str:
    spans: list[str] = []
    for token in passage.tokens:
        alternatives.add(token)
        shown = escaped(token.text).replace("\n", "↵\n")
        spans.append(f"<i{_shade(token.bits)}>{shown}</i>")
    return (
        f'<figure class="tokens"><figcaption>{escaped(passage.caption)} {legend()}</figcaption>\n'
        f'<div class="passage" tabindex="0" role="group" aria-label="{escaped(passage.caption or "Passage")}: arrow '
        f'keys show what each token could have been">{"".join(spans)}</div></figure>'
    )


def legend() -> str:
    """What the shades of tokens mean."""
    shades = zip(("0", *map("{:g}".format, SHADES)), range(len(SHADES) + 1), strict=True)
    each = "".join(f"<i{f' class=b{shade}' if shade else ''}>{bits}</i>" for bits, shade in shades)
    return f'<span class="legend">bits, from {each}</span>'


def _shade(bits: float | None) -> str:
    shade = 0 if bits is None else sum(bits >= edge for edge in SHADES)
    return f" class=b{shade}" if shade else ""
