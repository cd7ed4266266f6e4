"""A headless browser, and pages that watch for what no page may do."""

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

Opened = Callable[..., Page]
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Generator[Browser]:
    """Chromium, without a window."""
    found = next((path for name in _NAMES if (path := shutil.which(name)) is not None), None)
    if found is None:
        pytest.exit(
            f"there is no browser: none of {', '.join(_NAMES)} is on the PATH. "
            "On Debian and Ubuntu: sudo apt-get install chromium",
            returncode=2,
        )
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []  # as root, such as in a container, it starts no sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=alone)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Generator[Opened]:
    """Opens a page in a window of some width; at the end no page may have made a request or reported an error."""
    wrong: list[str] = []
    pages: list[Page] = []

    def open_page(text: str, *, width: int = 1440, dark: bool = False, touch: bool = False) -> Page:
        path = tmp_path / f"page{len(pages)}.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", has_touch=touch
        )
        page = context.new_page()
        pages.append(page)

        def on_request(request: Request) -> None:
            if request.url != path.as_uri() and not request.url.startswith("data:"):
                wrong.append(f"request to {request.url}")

        def on_console(message: ConsoleMessage) -> None:
            wrong.append(f"console: {message.text}")

        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.goto(path.as_uri())
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert wrong == []
