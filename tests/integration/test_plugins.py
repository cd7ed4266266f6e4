"""An optimiser and a sink from files that the TOML names in `plugins`: those that docs/plugins.md shows."""

import csv
import re
import tomllib
from pathlib import Path

import pytest

from ml_playground.config.registries import SINKS
from ml_playground.run.checkpoint import load
from tests.integration.runs import assert_same_bits
from tests.project import Project

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture
def with_parts(project: Project) -> Project:
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL):
        (project.root / name).write_text(code)
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    plugins, _, rest = toml.partition("\n")
    tables = tomllib.loads(rest)["train"]
    project.config.write_text(f"{plugins}\n{project.config.read_text()}")
    project.configure({"train.optim.kind": f'"{tables["optim"]["kind"]}"', "train.optim.learning_rate": "3e-4"})
    (sinks,) = re.findall(r"^sinks = (.*)$", rest, re.MULTILINE)
    project.configure({"train.runtime.sinks": sinks})
    project.ok("prepare")
    return project


def test_the_parts_of_the_page_train_and_resume_bit_for_bit(with_parts: Project) -> None:
    with_parts.ok("train")
    rows = csv.reader((with_parts.root / "loss.csv").read_text().splitlines())
    logged = with_parts.metrics()
    measured = [(row["step"], name, value) for row in logged for name, value in row.items() if "/" in name]
    assert [(int(step), name, float(value)) for step, name, value in rows] == measured
    losses = [value for _, name, value in measured if name == "val/loss"]
    assert losses[-1] < losses[0]
    whole = with_parts.out.rename(with_parts.root / "whole")
    with_parts.configure({"train.runtime.max_iters": "4", "train.schedule.lr_decay_iters": "6"})
    with_parts.ok("train")
    with_parts.configure({"train.runtime.max_iters": "6"})
    with_parts.ok("train")
    assert_same_bits(*(load(folder / "ckpt_last.pt").model for folder in (whole, with_parts.out)))


def test_their_options_are_checked(with_parts: Project) -> None:
    with_parts.configure({"train.optim.beta1": "2"})
    assert "[train.optim] beta1: must be less than 1, not 2" in with_parts.run("train").err
    assert SINKS.load("table").__doc__ == "Adds a row per value to a CSV file."
