"""Every mistake costs one readable message, and nothing that existed is lost."""

import re
from pathlib import Path

import pytest

from ml_playground.errors import CheckpointError
from ml_playground.run.checkpoint import load
from tests.acceptance.mistakes import MISTAKES
from tests.project import Project

ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| ([^|]+) \| (\d+) \| `(.+)` \|$", re.MULTILINE)


def table() -> dict[str, tuple[int, str]]:
    """Exit code and message of each mistake. An ellipsis stands for any text, a pilcrow for a line end."""
    rows = ROW.findall(ERRORS.read_text(encoding="utf-8"))
    return {name: (int(code), message.replace("¶", "\n")) for name, code, message in rows}


def test_the_table_lists_every_mistake_and_no_other() -> None:
    assert set(table()) == set(MISTAKES)
    assert len(MISTAKES) >= 30


def sound_files(project: Project) -> dict[Path, bytes]:
    """Everything of value: texts, prepared data, sound checkpoints."""
    files = [project.text, *project.datasets.glob("*"), *(project.root / "tiny" / "out").rglob("*.pt")]
    return {path: path.read_bytes() for path in files if path.suffix != ".pt" or is_sound(path)}


def is_sound(path: Path) -> bool:
    try:
        load(path)
    except CheckpointError:
        return False
    return True


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_costs_one_message_and_nothing_else(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    project.ok("prepare")
    project.ok("train")
    steps = load(project.out / "ckpt_last.pt").progress.step
    before: dict[Path, bytes] = {}
    run = project.run

    def watched_run(verb: str, config: Path | None = None) -> object:
        before.update(sound_files(project))
        return run(verb, config)

    monkeypatch.setattr(project, "run", watched_run)
    outcome = MISTAKES[name](project, monkeypatch)

    code, message = table()[name]
    assert outcome.code == code
    pattern = ".*".join(re.escape(part) for part in message.split("…"))
    said = outcome.err if code else outcome.out + outcome.err
    assert re.search(pattern if code == 0 else rf"\A{pattern}\n\Z", said, re.DOTALL), said
    assert "Traceback" not in said
    if code == 2:
        assert {path: path.read_bytes() for path in before} == before
    else:  # it went on, or stopped having saved: what there is now is no less
        assert load(project.out / "ckpt_last.pt").progress.step >= steps
    assert not list(project.root.rglob("*.tmp"))
    assert not (project.root / "trapped").exists()
