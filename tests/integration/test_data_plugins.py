"""A source, a tokenizer and a split from a file that the TOML names in `plugins`: the one that docs/data.md shows."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ml_playground.run.checkpoint import load
from tests.integration.runs import assert_same_bits
from tests.project import Project

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
POEMS = {year: f"Poem of {year}\n{year}\nDer Mond ist {word},\nso grün und blau.\n" for year, word in
         ((1779, "aufgegangen"), (1783, "still"), (1797, "hell"), (1799, "fern"))}  # fmt: skip


@pytest.fixture
def poems(project: Project) -> Project:
    (code,) = re.findall(r"```python\n# poems\.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (toml,) = re.findall(r"```toml\n(plugins.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (project.root / "poems.py").write_text(code)
    project.text.unlink()
    for year, text in POEMS.items():
        (project.folder / "raw" / f"{year}.poem").write_text(text, encoding="utf-8")
    config = project.config.read_text().replace("[prepare]\n", toml.strip() + "\n")
    project.config.write_text(config)
    return project


def verses(year: int) -> str:
    return POEMS[year].split("\n", 2)[2]


def test_the_kinds_of_a_file_are_used_from_raw_text_to_samples(poems: Project) -> None:
    poems.ok("prepare")
    rows = [json.loads(line) for line in (poems.datasets / "val.jsonl").read_text().splitlines()]
    assert [row["title"] for row in rows] == ["Poem of 1797", "Poem of 1799"]
    manifest = json.loads((poems.datasets / "meta.json").read_text())
    assert manifest["val"]["bytes"] == sum(len(verses(year).encode()) for year in (1797, 1799))
    packed = [token for year in (1797, 1799) for token in (256, *verses(year).strip().encode())]
    assert np.fromfile(poems.datasets / "val.bin", "<u2").tolist() == packed
    poems.ok("train")
    poems.ok("sample")
    assert "up to date" in poems.ok("prepare").out


def test_a_run_with_them_is_resumed_bit_for_bit(poems: Project) -> None:
    poems.ok("prepare")
    poems.ok("train")
    whole = poems.out.rename(poems.root / "whole")
    poems.configure({"train.runtime.max_iters": "4", "train.schedule.lr_decay_iters": "6"})
    poems.ok("train")
    poems.configure({"train.runtime.max_iters": "6"})
    poems.ok("train")
    assert_same_bits(*(load(folder / "ckpt_last.pt").model for folder in (whole, poems.out)))


def test_a_changed_option_of_theirs_makes_data_stale(poems: Project) -> None:
    poems.ok("prepare")
    poems.config.write_text(poems.config.read_text().replace("since = 1797", "since = 1798"))
    assert "([prepare.split] since was 1797, is 1798)" in poems.run("train").err


def test_a_wrong_option_of_theirs_has_its_line(poems: Project) -> None:
    poems.config.write_text(poems.config.read_text().replace("since = 1797", "sinse = 1797"))
    assert re.search(r'\d+: \[prepare\.split\] sinse: "by_year" has no option sinse', poems.run("prepare").err)


def test_all_on_one_side_is_refused(poems: Project) -> None:
    poems.config.write_text(poems.config.read_text().replace("since = 1797", "since = 1900"))
    assert "too little text to split (4 documents)" in poems.run("prepare").err
