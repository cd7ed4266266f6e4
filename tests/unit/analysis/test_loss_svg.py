"""The picture of a training shows what was measured, needs no library, and follows the theme."""

import math
import re
import sys
from pathlib import Path
from subprocess import run
from xml.etree import ElementTree

import pytest

from ml_playground.analysis.loss_svg import loss_svg, write_loss_svg
from ml_playground.errors import StorageError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.records import MetricRow
from ml_playground.run.rows import append_jsonl


def row(step: int, **values: float) -> MetricRow:
    return MetricRow(step, 0, 0.0, 0, {name.replace("_", "/", 1): value for name, value in values.items()})


ROWS = [
    row(0, val_loss=4.0),
    *(row(step, train_loss=4 - step / 200, train_lr=1e-3 * step / 400) for step in range(1, 401)),
    row(200, val_loss=2.5),
    row(400, val_loss=2.75),
]


def parsed(rows: list[MetricRow], name: str = "a run") -> ElementTree.Element:
    text = loss_svg(rows, name)
    assert text is not None
    return ElementTree.fromstring(text)


def texts(picture: ElementTree.Element) -> str:
    return "\n".join(each.text or "" for each in picture.iter())


def corners(picture: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    paths = [each.get("d", "") for each in picture.iter() if each.get("class") == kind]
    longest = max(paths, key=len)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", longest)]


def test_best_validation_loss_is_marked() -> None:
    picture = parsed(ROWS)
    assert "best validation loss 2.5000, at step 200" in texts(picture)
    best = next(each for each in picture.iter() if each.get("r") == "5")
    assert (float(best.get("cx", "")), float(best.get("cy", ""))) == corners(picture, "val")[1]


def test_lines_pass_through_what_was_measured() -> None:
    (left, high), (middle, low), (right, between) = corners(parsed(ROWS), "val")
    assert middle == (left + right) / 2
    share = (between - low) / (high - low)
    assert share == pytest.approx(math.log(2.75 / 2.5) / math.log(4 / 2.5), abs=0.01)


def test_all_text_is_inside_the_picture() -> None:
    picture = parsed([*ROWS, row(1_000_000, val_loss=0.001, train_loss=0.001, train_lr=0.0)])
    for each in picture.iter():
        if each.get("y") is not None:
            assert 0 < float(each.get("y", "")) < 460


def test_extremes_of_a_long_training_stay() -> None:
    rows = [row(step, train_loss=2.0) for step in range(1, 50_001)]
    rows[31_234] = row(31_235, train_loss=3.0)
    text = loss_svg(rows, "long")
    assert text is not None
    assert len(text) < 40_000
    line = [y for _, y in corners(ElementTree.fromstring(text), "train")]
    assert sum(y < max(line) for y in line) == 1


@pytest.mark.parametrize(
    "rows", [[row(0, val_loss=2.0)], [row(3, train_loss=0.1)], [row(1, val_loss=1e-9), row(2, val_loss=1e3)]]
)
def test_few_or_unusual_rows_are_drawn(rows: list[MetricRow]) -> None:
    assert "nats per token" in texts(parsed(rows))


def test_nothing_is_drawn_of_nothing() -> None:
    assert loss_svg([], "a run") is None
    assert loss_svg([row(1, train_grad_norm=1.0)], "a run") is None


def test_name_is_never_markup() -> None:
    assert "<&>" in texts(parsed(ROWS, "<&>"))


def test_it_is_written_from_the_metrics_and_skips_damaged_rows(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    write_loss_svg(directory)
    assert not directory.reports.exists()
    for each in ROWS:
        append_jsonl(directory.metrics, each.as_json())
    with directory.metrics.open("a") as file:
        file.write('{"step": 500, "val/lo')
    write_loss_svg(directory)
    assert (directory.reports / "loss.svg").read_text() == loss_svg(ROWS, tmp_path.name)


def test_a_file_in_the_way_is_one_message(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    append_jsonl(directory.metrics, ROWS[0].as_json())
    directory.reports.write_text("in the way")
    with pytest.raises(StorageError, match="reports"):
        write_loss_svg(directory)


def test_it_needs_neither_matplotlib_nor_torch() -> None:
    code = "import sys, ml_playground.analysis.loss_svg\nassert not {'matplotlib', 'scipy', 'torch'} & set(sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
