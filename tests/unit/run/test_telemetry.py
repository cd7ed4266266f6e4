import json
from collections import defaultdict
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ml_playground.errors import RunDirectoryError, StorageError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sinks import Telemetry
from tests.full_disk import full_disk


def report(run: RunDirectory, *, resumed_at: int | None, steps: range) -> None:
    with Telemetry(run, resumed_at=resumed_at, max_iters=9) as telemetry:
        for step in steps:
            telemetry.train(step, loss=step / 10, learning_rate=1e-3, tokens_per_sec=100.0, step_time=0.5)
            telemetry.validation(step, loss=step / 5, bits_per_byte=step / 4, improved=True)


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


def test_the_five_scalars_are_in_tensorboard_and_the_same_in_the_metrics_file(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    report(run, resumed_at=None, steps=range(1, 4))
    scalars, rows = tensorboard(run), metrics(run)
    assert set(scalars) == {"train/loss", "val/loss", "train/lr", "train/tokens_per_sec", "train/step_time_ms"}
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
    with Telemetry(RunDirectory(tmp_path), resumed_at=3, max_iters=9, val_loss=2.5) as telemetry:
        telemetry.train(4, loss=1.0, learning_rate=1e-3, tokens_per_sec=100.0, step_time=0.5)
    assert "step 4/9 loss 1.0000 val 2.5000 lr" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["run", "logs/tb"])
def test_a_folder_that_is_moved_away_while_training_is_named(tmp_path: Path, what: str) -> None:
    run = RunDirectory(tmp_path / "run")
    with (
        pytest.raises(RunDirectoryError, match="by somebody else"),
        run.lock(),
        Telemetry(run, resumed_at=None, max_iters=10**5) as telemetry,
    ):
        for step in range(1, 10**5):
            telemetry.train(step, loss=1.0, learning_rate=1e-3, tokens_per_sec=100.0, step_time=0.5)
            if step == 3:
                (tmp_path / "run" / what.removeprefix("run")).rename(tmp_path / "moved")
    assert what != "run" or not run.path.exists()
