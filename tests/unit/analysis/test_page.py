"""Pages are self-contained, and nothing in them is taken for markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ml_playground.analysis.page import (
    Column,
    Details,
    Figure,
    Heading,
    Part,
    Passage,
    SideBySide,
    Table,
    Text,
    Token,
    page,
)

HOSTILE = "<script src=https://evil.example/x.js></script>\"'&amp;\x00\udcff"
VOID = {"meta", "link", "br"}


class Parsed(HTMLParser):
    """The elements of a page, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def block(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="alternatives">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found.group(1))


ALL: list[Part] = [
    Heading(HOSTILE),
    Text(f"{HOSTILE}\n\nanother"),
    Table([Column(HOSTILE, help=HOSTILE), Column("loss", ".2f")], [[HOSTILE, 1.234], ["b", None]], HOSTILE),
    Figure("<svg><title>curve</title></svg>", HOSTILE, HOSTILE),
    Details(HOSTILE, [Text(HOSTILE), Passage([Token(HOSTILE, 3.0, [(HOSTILE, 0.5)])], HOSTILE)]),
    SideBySide([(HOSTILE, HOSTILE)]),
]


def test_texts_are_never_markup() -> None:
    parsed = Parsed(page(HOSTILE, ALL, lead=HOSTILE))
    assert [each.get("type") for each in parsed.all("script")] == ["application/json", None]
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\udcff", "\ufffd")
    assert sum(shown in each for each in parsed.texts) == 15  # wherever a text is seen
    assert any(each.get("aria-label") == shown for each in parsed.all("div"))


def test_page_refers_to_nothing_outside_it() -> None:
    parsed = Parsed(page("A title", ALL))
    for tag, attributes in parsed.elements:
        assert tag not in {"img", "iframe", "object", "embed", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "action"}
            if name == "href":
                assert value == "data:,"
    text = page("A title", [])
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_policy_allows_the_script_of_the_page_and_no_other() -> None:
    text = page("A title", [])
    policy = next(each["content"] for each in Parsed(text).all("meta") if "http-equiv" in each)
    assert policy is not None
    script = text[text.rindex("<script>") + len("<script>") : text.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_page_can_be_written_as_utf8() -> None:
    page(HOSTILE, ALL).encode()


@pytest.mark.parametrize(
    ("cell", "form", "shown", "value"),
    [
        (1.23456, ".2f", "1.23", "1.23456"),
        (1234567, "", "1,234,567", "1234567"),
        (0.000123456, "", "0.0001235", "0.000123456"),
        (-0.5, "+.1%", "-50.0%", "-0.5"),
        (float("nan"), ".2f", "nan", None),
        (float("inf"), "", "inf", None),
        ("text", ".2f", "text", None),
        (None, ".2f", "", None),
    ],
)
def test_cells_are_shown_as_their_column_says(cell: str | float | None, form: str, shown: str, value: str) -> None:
    text = page("A title", [Table([Column("x", form)], [[cell]])])
    assert re.search(rf"<td[^>]*>{re.escape(shown)}</td>", text)
    assert Parsed(text).all("td")[0].get("data-value") == value


def test_a_table_whose_rows_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        page("A title", [Table([Column("x")], [["a", "b"]])])


def test_tokens_are_shaded_by_their_bits() -> None:
    bits = [None, 0.0, 0.3, 1.0, 3.9, 4.0, 100.0]
    text = page("A title", [Passage([Token("t", each) for each in bits])])
    passage = text[text.index('class="passage"') :]
    assert re.findall(r"<i(?: class=b(\d))?>t</i>", passage) == ["", "", "1", "2", "3", "4", "7"]


def test_alternatives_are_in_one_block() -> None:
    tokens = [Token("a", 1.234, [("b", 0.5), (" \n", 0.25)]), Token("b", None, [("b", 0.125)])]
    found = block(page("A title", [Passage(tokens[:1]), Details("more", [Passage(tokens[1:])])]))
    assert found == {"texts": ["b", "␣↵"], "tokens": [[1.23, 0, 0.5, 1, 0.25], [-1, 0, 0.125]]}


def test_alternatives_of_ten_thousand_tokens_stay_small() -> None:
    tokens = [
        Token(f"token{i % 999}", i % 16, [(f"other{(i + j) % 5000}", 0.123456) for j in range(5)])
        for i in range(10_000)
    ]
    assert len(page("A title", [Passage(tokens)]).encode()) < 1_500_000
