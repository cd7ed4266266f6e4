"""What a reader of a page does: sort, point, tap, press keys, print, turn the phone, prefer dark."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from ml_playground.analysis import plots
from ml_playground.analysis.page import (
    Cell,
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
from ml_playground.analysis.plots import Curve, Points
from tests.browser.conftest import Opened

WORDS = [
    Token(f"word{i}" + ("\n" if i % 9 == 8 else " "), (i % 32) / 2, [(f"other{i}", 0.5), (" ", 0.25)])
    for i in range(200)
]
CURVES = [
    Curve("base", [Points([1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [3, 2, 1.5])]),
    Curve("rope", [Points([1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [3, 1.8, 1.2])]),
]
ROWS: list[list[Cell]] = [
    ["base", 1.9084, 12.0, 804_096, ""],
    ["rope", 1.7876, -5.0, 790_000, "better"],
    ["wide", 10.25, None, 2_400_000, "cannot tell"],
    ["very long name of an arm with_an_unbreakable_part_of_it_" + "x" * 80, 1e-7, 3.0, 5, "worse"],
]
COLUMNS = [
    Column("arm"),
    Column("loss", ".4f", "mean over seeds"),
    Column("change", "+.0f"),
    Column("parameters"),
    Column("verdict"),
]


def whole_page() -> str:
    parts: list[Part] = [
        Heading("Results"),
        Text("A paragraph. " * 30),
        Table(COLUMNS, ROWS, "All arms"),
        Figure(plots.inline(plots.curves(CURVES)), "Losses during training", "Two falling curves"),
        Figure(plots.inline(plots.curves(CURVES, "tokens")), "Over tokens", "Two falling curves"),
        Passage(WORDS, "The worst passage"),
        SideBySide([("base", "To be\n\nor not"), ("rope", "x" * 500)]),
        Details("More", [Text("hidden at first"), Passage([Token("inside", 1.0, [("deeper", 0.125)])], "Another")]),
    ]
    return page("Did it help?", parts, lead="rope is better than base by 0.12 nats per token.")


def column(page: Page, number: int) -> list[str]:
    return page.locator(f"main table tbody tr td:nth-child({number})").all_text_contents()


@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out_of_the_window(opened: Opened, width: int, dark: bool) -> None:
    shown = opened(whole_page(), width=width, dark=dark)
    shown.locator("summary").click()
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    table = shown.locator(".scroll").first
    assert table.evaluate("box => box.scrollWidth > box.clientWidth") == (width == 375)


def test_tables_sort_numbers_as_numbers_and_keep_empty_cells_last(opened: Opened) -> None:
    shown = opened(whole_page())
    head = shown.locator("th", has=shown.get_by_role("button", name="loss"))
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert column(shown, 2) == ["0.0000", "1.7876", "1.9084", "10.2500"]
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert column(shown, 2) == ["10.2500", "1.9084", "1.7876", "0.0000"]
    for order in (["-5", "+3", "+12", ""], ["+12", "+3", "-5", ""]):
        shown.get_by_role("button", name="change").click()
        assert column(shown, 3) == order
    expect(head).to_have_attribute("aria-sort", "none")


def test_tables_sort_by_keyboard(opened: Opened) -> None:
    shown = opened(whole_page())
    shown.get_by_role("button", name="parameters").focus()
    shown.keyboard.press("Enter")
    assert column(shown, 4) == ["5", "790,000", "804,096", "2,400,000"]


def test_headings_explain_themselves_on_hover_and_focus(opened: Opened) -> None:
    shown = opened(whole_page())
    tip, button = shown.locator("#tip"), shown.get_by_role("button", name="loss")
    expect(tip).to_be_hidden()
    button.hover()
    expect(tip).to_have_text("mean over seeds")
    shown.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    button.focus()
    expect(tip).to_have_text("mean over seeds")
    expect(button).to_have_attribute("aria-describedby", "tip")


def in_window(page: Page, box: Locator) -> bool:
    at = box.bounding_box()
    size = page.viewport_size
    assert at is not None
    assert size is not None
    return at["x"] >= 0 and at["x"] + at["width"] <= size["width"]


@pytest.mark.parametrize("width", [375, 1440])
def test_hovering_shows_the_alternatives(opened: Opened, width: int) -> None:
    shown = opened(whole_page(), width=width)
    tip, tokens = shown.locator("#tip"), shown.locator(".passage").first.locator("i")
    for number in (2, 5, 150):
        tokens.nth(number).hover()
        expect(tip).to_contain_text(f"{number % 32 / 2:.2f} bits")
        assert tip.locator("tr").all_text_contents() == [f"other{number}50.0%", "␣25.0%"]
        assert in_window(shown, tip)
    shown.mouse.move(1, 1)
    expect(tip).to_be_hidden()


def test_tapping_shows_the_alternatives(opened: Opened) -> None:
    shown = opened(whole_page(), width=375, touch=True)
    shown.locator(".passage i").nth(3).tap()
    expect(shown.locator("#tip")).to_contain_text("other3")


def test_arrow_keys_lead_through_a_passage(opened: Opened) -> None:
    shown = opened(whole_page())
    tip, passage = shown.locator("#tip"), shown.locator(".passage").first
    passage.focus()
    for key, number in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 199), ("Home", 0)):
        passage.press(key)
        expect(tip).to_contain_text(f"other{number}")
    passage.press("Tab")
    expect(tip).to_be_hidden()


def test_a_passage_that_is_folded_away_has_its_own_alternatives(opened: Opened) -> None:
    shown = opened(whole_page())
    shown.locator("summary").click()
    shown.get_by_text("inside").hover()
    expect(shown.locator("#tip")).to_contain_text("deeper")


def _luminance(colour: str) -> float:
    red, green, blue = (int(each) / 255 for each in re.findall(r"\d+", colour)[:3])
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_every_shade_can_be_read(opened: Opened, dark: bool) -> None:
    shown = opened(whole_page(), dark=dark)
    paper = shown.evaluate("getComputedStyle(document.querySelector('.passage')).backgroundColor")
    ink = shown.evaluate("getComputedStyle(document.querySelector('.passage')).color")
    assert (_luminance(paper) < 0.1) is dark
    shades: list[str] = shown.evaluate(
        "Array.from({length: 8}, (_, i) => getComputedStyle(document.querySelector(`.passage i${i ? '.b' + i : ''}`))"
        ".backgroundColor)"
    )
    assert len(set(shades)) == 8
    for shade in shades:
        numbers = [float(each) for each in re.findall(r"[\d.]+", shade)]
        alpha = numbers[3] if len(numbers) > 3 else 1.0
        below = [int(each) for each in re.findall(r"\d+", paper)]
        mixed = [round(alpha * top + (1 - alpha) * under) for top, under in zip(numbers[:3], below, strict=False)]
        bright, dim = sorted((_luminance(str(mixed)), _luminance(ink)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5  # WCAG 2.2, AA


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_follow_the_theme(opened: Opened, dark: bool) -> None:
    shown = opened(whole_page(), dark=dark)
    words = shown.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert (_luminance(words) > 0.5) is dark
    assert shown.locator("svg").count() == 2


def test_nothing_is_folded_away_on_paper(opened: Opened) -> None:
    shown = opened(whole_page(), dark=True)
    shown.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(shown.get_by_text("hidden at first")).to_be_visible()
    shown.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(shown.get_by_text("hidden at first")).to_be_hidden()
    shown.emulate_media(media="print", color_scheme="dark")
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_hostile_texts_run_no_code(opened: Opened) -> None:
    hostile = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
    parts: list[Part] = [
        Heading(hostile),
        Table([Column(hostile, help=hostile)], [[hostile]], hostile),
        Passage([Token(hostile, 1.0, [(hostile, 0.5)])], hostile),
    ]
    shown = opened(page("honest", parts))
    shown.locator(".passage i").hover()
    expect(shown.locator("#tip tr")).to_contain_text("</script>")
    assert shown.title() == "honest"
