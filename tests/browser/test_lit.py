"""LIT's page with two runs that were trained on real text: what a user selects, clicks and edits there."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect

from ml_playground.cli import main
from tests.project import Project

OPTIONS = {
    "train.model.n_layer": "2",
    "train.model.n_embd": "32",
    "train.model.block_size": "64",
    "train.data.batch_size": "8",
    "train.data.block_size": "64",
    "train.optim.learning_rate": "0.01",
    "train.runtime.max_iters": "300",
    "train.runtime.eval_interval": "150",
    "train.runtime.eval_iters": "4",
    "lit.examples": "20",
    "lit.port": "0",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Generator[str]:
    """The address of a server with the runs `tiny` and `other`."""
    if find_spec("lit_nlp.app") is None:
        message = "LIT is not installed here: `make test-browser` sets up an environment with it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    project = Project(tmp_path_factory.mktemp("lit"))
    text = (real_data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    project.text.write_text(text[:100_000], encoding="utf-8")
    project.configure(OPTIONS)
    for run, seed in (("other", 2), ("tiny", 1)):
        project.configure({"train.runtime.out_dir": f'"tiny/out/{run}"', "train.runtime.seed": str(seed)})
        for verb in ("prepare", "train"):
            assert main([verb, str(project.folder)]) == 0
    runs = [str(project.folder / "out" / run) for run in ("tiny", "other")]
    command = [sys.executable, "-m", "ml_playground.cli", "lit", str(project.folder), *runs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.match(r"http://\S+/", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture
def page(browser: Browser, address: str) -> Generator[Page]:
    """LIT's page; at the end it may have asked no other server for anything, nor reported an error."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    shown = context.new_page()
    wrong: list[str] = []

    def on_request(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            wrong.append(f"request to {request.url}")

    shown.on("request", on_request)
    shown.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.goto(address)
    yield shown
    context.close()
    assert wrong == []


def rows(page: Page) -> Locator:
    return page.locator("data-table-module lit-data-table tbody tr")


def select(page: Page, number: int = 3) -> None:
    rows(page).nth(number).click()


def tab(page: Page, name: str) -> None:
    page.locator("lit-modules .tab").get_by_text(name, exact=True).click()


def explained(panel: Locator, token: int) -> Locator:
    """The tokens of the true text, after a click on one."""
    panel.locator(".interstitial-target-option").first.click()
    panel.get_by_text("Tokens", exact=True).click()
    tokens = panel.locator("sequence-salience-chips .salient-token")
    tokens.nth(token).click()
    expect(panel.get_by_text("Explaining")).to_be_visible()
    return tokens


def coloured(tokens: Locator, before: list[str] | None = None) -> list[str]:
    """The colours of tokens, as soon as they are not all the same, nor those of `before`, nor change any more."""
    found: list[str] = []
    for _ in range(300):
        last = found
        found = tokens.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundColor)")
        if len(set(found)) > 2 and found == last and found != before:
            return found
        tokens.page.wait_for_timeout(100)
    raise AssertionError(f"the tokens got no other colours but {set(found)}")


def test_icons_are_pictures_and_not_words(page: Page) -> None:
    expect(page.get_by_text("0 of 20 datapoints")).to_be_visible()
    assert page.evaluate("document.fonts.check('24px \"Material Icons\"')")
    icon = page.locator("mwc-icon:visible, .material-icon:visible").first
    box = icon.bounding_box()
    assert box is not None
    assert box["width"] <= 2 * box["height"]


def test_a_click_on_a_token_shows_what_it_depends_on_by_each_method(page: Page) -> None:
    select(page)
    panel = page.locator("sequence-salience-module")
    tokens = explained(panel, 20)
    seen: dict[str, list[str]] = {}
    for method in ("grad_l2", "grad_dot_input", "bits", "erasure", "attention_layer_1", "attention_layer_2"):
        panel.get_by_text(method, exact=True).click()
        seen[method] = coloured(tokens, list(seen.values())[-1] if seen else None)
    assert len({tuple(each) for each in seen.values()}) == 6
    later = seen["grad_l2"][21:]
    assert len(set(later)) == 1  # nothing after a token explains it


def test_two_runs_stand_side_by_side(page: Page) -> None:
    select(page)
    expect(page.locator("sequence-salience-module")).to_have_count(1)
    page.locator("lit-app-toolbar").get_by_text("other", exact=True).click()
    panels = page.locator("sequence-salience-module")
    expect(panels).to_have_count(2)
    first, second = (explained(panels.nth(number), 20) for number in range(2))
    assert coloured(first) != coloured(second)
    assert first.all_text_contents() == second.all_text_contents()


def test_an_edited_text_is_a_new_one_with_its_own_numbers(page: Page) -> None:
    select(page)
    editor = page.locator("datapoint-editor-module")
    prompt = editor.locator("textarea").first
    prompt.fill("ROMEO:\nI love the the the")
    editor.get_by_text("Add", exact=True).click()
    expect(page.get_by_text("1 of 21 datapoints")).to_be_visible()
    panel = page.locator("sequence-salience-module")
    tokens = explained(panel, 12)
    assert [text.strip() for text in tokens.all_text_contents()[:6]] == list("ROMEO:")


def test_attention_is_shown_for_a_token(page: Page) -> None:
    select(page)
    tab(page, "Attention")
    panel = page.locator("legacy-sequence-salience-module")
    layer = panel.locator("select").nth(1)
    expect(layer.locator("option")).to_have_text(
        ["layer 1", "layer 1 head 1", "layer 1 head 2", "layer 2", "layer 2 head 1", "layer 2 head 2"]
    )
    source, target = (panel.locator("lit-token-chips").nth(number).locator(".salient-token") for number in range(2))
    target.nth(5).click()
    seen: list[list[str]] = []
    for name in ("layer 1 head 1", "layer 2 head 2"):
        layer.select_option(name)
        target.nth(5).hover()
        seen.append(coloured(source, seen[-1] if seen else None))
    assert seen[0] != seen[1]


def test_every_other_panel_shows_something(page: Page) -> None:
    select(page)
    tab(page, "Continuation")
    continuation = page.locator("generated-text-module")
    continuation.get_by_text("Character", exact=True).click()
    expect(continuation.locator("generated-text-vis")).to_contain_text("response")
    tab(page, "Next token")
    expect(page.locator("classification-module")).to_contain_text("Class")
    tab(page, "Metrics")
    expect(page.locator("metrics-module")).to_contain_text("bits/byte")
    tab(page, "Scalars")
    expect(page.locator("scalar-module")).to_contain_text("bits_per_byte")
    tab(page, "Confusion")
    expect(page.locator("confusion-matrix-module")).to_contain_text("next")
    tab(page, "Embeddings")
    expect(page.locator("embeddings-module canvas").first).to_be_visible()
