"""What a reader of an exploration does: select tokens and heads by mouse, finger and keys, on a phone and a desk."""

import re

import pytest
from playwright.sync_api import Page, expect

from ml_playground.analysis.explore_page import as_html
from tests.browser.conftest import Opened
from tests.unit.analysis.explored import made_up

WORDS = [*(f"word{number} " for number in range(60)), "line\n"]
PAGE = as_html(made_up(WORDS, passages=3, tokens=240, layers=6, heads=6))


def selected(page: Page) -> int:
    return int(page.evaluate("Array.from(document.querySelectorAll('.passage i')).findIndex(i => i.matches('.at'))"))


def marked(page: Page) -> list[int]:
    script = "Array.from(document.querySelectorAll('.passage i')).flatMap((i, n) => i.matches('.mark') ? [n] : [])"
    return list(page.evaluate(script))


@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out_of_the_window(opened: Opened, width: int, dark: bool) -> None:
    shown = opened(PAGE, width=width, dark=dark)
    for token in (1, 0, 100, 239):
        shown.locator(".passage i").nth(token).click()
        assert selected(shown) == token
        assert shown.evaluate("document.documentElement.scrollWidth") == width
    panel, text = shown.locator(".panel").bounding_box(), shown.locator(".passage").bounding_box()
    assert panel is not None
    assert text is not None
    assert (panel["x"] > text["x"] + text["width"]) == (width == 1440)


@pytest.mark.parametrize("width", [375, 1440])
def test_the_most_surprising_token_is_selected_first(opened: Opened, width: int) -> None:
    shown = opened(PAGE, width=width)
    assert selected(shown) == 1
    panel = shown.locator(".panel")
    for title in ("What the model expected", "What it relies on", "Layer by layer", "Attention"):
        expect(panel.get_by_role("heading", name=title)).to_be_visible()
    expect(panel.locator(".selected")).to_contain_text(f"{20 / 0.693147:.2f} bits")


@pytest.mark.parametrize("width", [375, 1440])
def test_a_click_shows_the_alternatives_and_what_was_earlier(opened: Opened, width: int) -> None:
    shown = opened(PAGE, width=width, touch=width == 375)
    token = shown.locator(".passage i").nth(30)
    token.tap() if width == 375 else token.click()
    panel = shown.locator(".panel")
    name = (token.text_content() or "").strip().removesuffix("↵")
    expect(panel.locator(".selected code")).to_contain_text(name)
    rows = panel.locator("section").first.locator("tr").all_text_contents()
    assert 8 <= len(rows) <= 9
    assert all(re.fullmatch(r"\d+\.(word\d+␣|line↵)\d+\.\d+%", row) for row in rows)
    assert panel.locator("section").first.locator("tr.own").count() == 1
    assert all(22 <= index < 30 for index in marked(shown))  # within reach
    assert len(marked(shown)) >= 5


def test_keys_select_tokens(opened: Opened) -> None:
    shown = opened(PAGE)
    text = shown.locator(".passage")
    text.focus()
    for key, number in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 239), ("Home", 0)):
        text.press(key)
        assert selected(shown) == number
    expect(shown.locator(".selected")).to_contain_text("is the first token")
    assert shown.locator(".panel section").count() == 0
    text.press("ArrowDown")
    below = selected(shown)
    tops = shown.evaluate("Array.from(document.querySelectorAll('.passage i'), i => i.getClientRects()[0].top)")
    assert tops[below] > tops[0]
    assert tops[below] == min(top for top in tops if top > tops[0])
    text.press("ArrowUp")
    assert selected(shown) == 0


@pytest.mark.parametrize("width", [375, 1440])
def test_the_passage_stays_in_sight_beside_what_is_shown_of_a_token(opened: Opened, width: int) -> None:
    shown = opened(PAGE, width=width)
    shown.locator(".heads").scroll_into_view_if_needed()
    box = shown.locator(".passage").bounding_box()
    assert box is not None
    assert box["y"] >= 0


def test_a_selected_token_is_in_sight(opened: Opened) -> None:
    shown = opened(PAGE, width=375)
    text = shown.locator(".passage")
    text.press("End")
    box, token = text.bounding_box(), shown.locator(".passage i.at").bounding_box()
    assert box is not None
    assert token is not None
    assert box["y"] <= token["y"] <= box["y"] + box["height"]


@pytest.mark.parametrize("width", [375, 1440])
def test_heads_are_chosen_by_click_and_by_keys(opened: Opened, width: int) -> None:
    shown = opened(PAGE, width=width)
    shown.locator(".passage i").nth(60).click()
    before, heads = marked(shown), shown.locator(".heads button")
    assert heads.count() == 6 * 7
    expect(shown.locator(".heads [aria-pressed=true]")).to_have_attribute(
        "aria-label", re.compile("layer 6, head mean")
    )
    shown.get_by_role("button", name="layer 2, head 3:").click()
    expect(shown.get_by_text("Layer 2, head 3", exact=True)).to_be_visible()
    assert marked(shown) != before
    expect(shown.get_by_label("what the head attends to")).to_be_checked()
    shown.keyboard.press("ArrowDown")
    shown.keyboard.press("ArrowLeft")
    expect(shown.get_by_text("Layer 3, head 2", exact=True)).to_be_visible()
    assert shown.evaluate("document.activeElement.getAttribute('aria-label')").startswith("layer 3, head 2")
    shown.get_by_label("what the token relies on").check()
    assert marked(shown) == before


def test_what_is_announced_changes_within_one_element_and_only_with_the_token(opened: Opened) -> None:
    """Screen readers announce changes of a region that was there before."""
    shown = opened(PAGE)
    shown.evaluate(
        """() => {
          window.changes = 0;
          window.live = document.querySelector("[aria-live]");
          new MutationObserver(() => { window.changes += 1; }).observe(window.live, { childList: true });
        }"""
    )
    for token in (100, 0, 60):
        shown.locator(".passage i").nth(token).click()
        name = (shown.locator(".passage i").nth(token).text_content() or "").strip().removesuffix("↵")
        expect(shown.locator("[aria-live=polite]")).to_contain_text(name)
    shown.get_by_role("button", name="layer 2, head 3:").click()
    expect(shown.get_by_text("Layer 2, head 3", exact=True)).to_be_visible()
    assert shown.evaluate("[window.live === document.querySelector('[aria-live]'), window.changes]") == [True, 3]


def test_layers_are_named_by_their_numbers_where_some_have_no_attention(opened: Opened) -> None:
    shown = opened(as_html(made_up(WORDS, layers=2, without_attention=2)))
    assert shown.locator(".heads tbody tr td:first-child").all_text_contents() == ["3", "4"]
    expect(shown.get_by_text("Layer 4, mean of the heads", exact=True)).to_be_visible()
    shown.get_by_role("button", name="layer 3, head 2:").click()
    expect(shown.get_by_text("Layer 3, head 2", exact=True)).to_be_visible()
    readings = shown.locator("section", has=shown.get_by_role("heading", name="Layer by layer"))
    assert readings.locator("td:first-child").all_text_contents() == ["start", "1", "2", "3", "4"]


def test_another_passage_is_chosen_by_keys(opened: Opened) -> None:
    shown = opened(PAGE)
    first = shown.locator(".passage").text_content()
    shown.get_by_role("combobox").select_option(index=2)
    assert shown.locator(".passage").text_content() != first
    expect(shown.locator("option:checked")).to_contain_text("3: from token 480")


def test_it_is_all_within_reach_of_the_tab_key(opened: Opened) -> None:
    shown = opened(PAGE)
    found: set[str] = set()
    for _ in range(8):
        shown.keyboard.press("Tab")
        found.add(shown.evaluate("(document.activeElement.className || document.activeElement.tagName).toLowerCase()"))
    assert {"select", "input", "passage", "button"} <= found


@pytest.mark.parametrize("dark", [False, True])
def test_words_can_be_read(opened: Opened, dark: bool) -> None:
    shown = opened(PAGE, dark=dark)
    ink, paper = (shown.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    for part in (".heads button", ".panel td", ".selected"):
        assert shown.evaluate(f"getComputedStyle(document.querySelector('{part}')).color") == ink
    assert (paper == "rgb(20, 23, 28)") is dark


def test_hostile_texts_run_no_code(opened: Opened) -> None:
    hostile = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
    shown = opened(as_html(made_up([hostile, "b"])))
    shown.locator(".passage i").nth(5).click()
    expect(shown.locator(".panel")).to_contain_text("</script>")
    assert shown.title() == "Inside made_up"
