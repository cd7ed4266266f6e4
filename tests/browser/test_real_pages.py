"""The pages that `report` and `compare` write of runs that were really trained."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ml_playground.cli import main
from tests.browser.conftest import Opened
from tests.project import Project

pytestmark = pytest.mark.parametrize("width", [375, 1440])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an experiment with two seeds of two configurations, compared, and a report on one."""
    root = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        project = Project(root)
        project.configure({"train.runtime.seed": "1", "train.runtime.max_iters": "20", "report.num_samples": "5"})
        fast = "[train.optim]\nlearning_rate = 0.1\n"
        runs = {"again": (2, ""), "fast": (1, fast), "fast_again": (2, fast)}
        presets = [
            project.preset(name, f'extends = "config.toml"\n[train.runtime]\nseed = {seed}\n{change}')
            for name, (seed, change) in runs.items()
        ]
        folder = str(project.folder)
        done = [["prepare", folder], ["train", folder]]
        done += [["train", folder, "--exp-config", str(preset)] for preset in presets]
        done += [["compare", folder], ["report", folder]]
        assert [main(arguments) for arguments in done] == [0] * len(done)
    return project.folder


def report(folder: Path) -> str:
    return (folder / "out" / "tiny" / "reports" / "report" / "report.html").read_text(encoding="utf-8")


def comparison(folder: Path) -> str:
    return (folder / "reports" / "compare" / "compare.html").read_text(encoding="utf-8")


def sticks_out(page: Page) -> bool:
    for summary in page.locator("summary").all():
        summary.click()
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_a_report(written: Path, opened: Opened, width: int) -> None:
    shown = opened(report(written), width=width)
    assert not sticks_out(shown)
    assert shown.locator("figure svg").count() == 3
    if width == 1440:
        boxes = shown.locator(".scroll").evaluate_all("all => all.map(box => box.scrollWidth - box.clientWidth)")
        assert max(boxes) <= 0
    tokens = shown.locator(".passage").first.locator("i")
    tokens.nth(3).hover()
    tip = shown.locator("#tip")
    expect(tip).to_contain_text(re.compile(r"\d\.\d\d bits"))
    assert tip.locator("tr").count() == 5
    loss = shown.locator("table").first.get_by_role("button", name="loss")
    loss.click()
    values = [float(text) for text in shown.locator("table").first.locator("td:nth-child(2)").all_text_contents()]
    assert values == sorted(values)


def test_a_comparison(written: Path, opened: Opened, width: int) -> None:
    shown = opened(comparison(written), width=width)
    assert not sticks_out(shown)
    assert shown.locator("figure svg").count() == 4
    table = shown.locator("table").first
    names = table.locator("tbody td:first-child")
    assert names.all_text_contents() == ["base", "learning_rate = 0.1"]
    mean = table.get_by_role("button", name="mean")
    mean.click()
    assert names.all_text_contents() == ["learning_rate = 0.1", "base"]
    mean.hover()
    expect(shown.locator("#tip")).to_have_text("over seeds")
