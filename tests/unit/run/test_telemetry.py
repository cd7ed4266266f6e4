import json
import math
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ml_playground.config.sections import SinkConfig
from ml_playground.errors import RunDirectoryError, StorageError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.records import MetricRow
from ml_playground.run.rows import read_jsonl
from ml_playground.run.sinks import Sink, SinkStart, Telemetry
from ml_playground.run.sinks.tensorboard import TensorBoardOptions
from tests.full_disk import full_disk
from tests.unit.run.sinks import ALL, position, telemetry, training, validation


def report(run: RunDirectory, *, resumed_at: int | None, steps: range) -> None:
    with telemetry(run, resumed_at=resumed_at) as sinks:
        for step in steps:
            sinks.log(step, {**position(step), **training(step / 10)})
            sinks.log(step, {**position(step), **validation(step / 5, step / 4)})


def tensorboard(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    tags: list[str] = events.Tags()["scalars"]  # pyright: ignore[reportAssignmentType] -- others are bool
    return {tag: [(event.step, round(event.value, 4)) for event in events.Scalars(tag)] for tag in tags}


def metrics(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    found = defaultdict(list)
    for line in run.metrics.read_text().splitlines():
        row = json.loads(line)
        for tag, value in row.items():
            found[tag].append((row["step"], round(value, 4)))
    return found


def test_all_that_is_measured_is_in_tensorboard_and_the_same_in_the_metrics_file(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    report(run, resumed_at=None, steps=range(1, 4))
    scalars, rows = tensorboard(run), metrics(run)
    assert set(scalars) == {*training(), *validation(1.0)}
    assert set(rows) - set(scalars) == {"step", "tokens", "seconds", "flops"}
    assert rows["flops"] == [(step, 640 * step) for step in (1, 1, 2, 2, 3, 3)]
    for tag, values in scalars.items():
        assert values == rows[tag]
    assert scalars["train/step_time_ms"] == [(1, 500), (2, 500), (3, 500)]
    assert rows["val/bits_per_byte"] == [(1, 0.25), (2, 0.5), (3, 0.75)]


def test_a_resumed_run_has_every_step_once(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    report(run, resumed_at=None, steps=range(1, 6))  # killed, the last checkpoint being that of step 3
    report(run, resumed_at=3, steps=range(4, 8))
    expected = [(step, round(step / 10, 4)) for step in range(1, 8)]
    assert metrics(run)["train/loss"] == expected
    assert tensorboard(run)["train/loss"] == expected


def test_a_new_run_keeps_the_metrics_of_the_one_before_under_another_name(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for _ in range(3):
        report(run, resumed_at=None, steps=range(1, 3))
    assert len(metrics(run)["train/loss"]) == 2
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [
        "metrics-1.jsonl",
        "metrics-2.jsonl",
        "metrics.jsonl",
    ]


def test_a_full_disk_is_raised_once_and_not_by_a_thread_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path)
    with full_disk(3_000), pytest.raises(StorageError, match="File too large"):
        report(run, resumed_at=None, steps=range(1, 10_000))
    assert "Traceback" not in capsys.readouterr().err


def test_a_resumed_run_shows_its_last_validation_loss_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Telemetry(
        ALL, SinkStart(RunDirectory(tmp_path), 9, resumed=True, progress=Progress(step=3, val_loss=2.5))
    ) as sinks:
        sinks.log(4, training())
    assert "step 4/9 loss 1.0000 val 2.5000 lr" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["run", "logs/tb"])
def test_a_folder_that_is_moved_away_while_training_is_named(tmp_path: Path, what: str) -> None:
    run = RunDirectory(tmp_path / "run")
    with (
        pytest.raises(RunDirectoryError, match=r"was (moved or )?deleted (while in use|during training)"),
        run.lock(),
        telemetry(run, max_iters=10**5) as sinks,
    ):
        for step in range(1, 10**5):
            sinks.log(step, training())
            if step == 3:
                (tmp_path / "run" / what.removeprefix("run")).rename(tmp_path / "moved")
    assert what != "run" or not run.path.exists()


def test_what_is_not_a_number_is_null_in_the_metrics_file_and_left_out_when_it_is_read(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with telemetry(run) as sinks:
        sinks.log(1, {**position(1), **training(), "train/grad_norm": math.inf})
    (row,) = read_jsonl(run.metrics)
    assert row["train/grad_norm"] is None
    read = MetricRow.from_json(row)
    assert (read.step, read.tokens, read.seconds, read.flops) == (1, 64, 0.5, 640)
    assert read.values == {name: value for name, value in training().items() if name != "train/grad_norm"}


def test_sinks_that_are_open_are_closed_when_a_later_one_cannot_be_opened(tmp_path: Path) -> None:
    class Broken(SinkConfig):
        def build(self, start: SinkStart) -> Sink:  # noqa: ARG002 -- it never gets that far
            raise ZeroDivisionError

    hook = threading.excepthook
    start = SinkStart(RunDirectory(tmp_path), 9)
    with (
        pytest.raises(ZeroDivisionError),
        Telemetry([TensorBoardOptions(kind="tensorboard"), Broken(kind="broken")], start),
    ):
        pass
    assert threading.excepthook is hook
