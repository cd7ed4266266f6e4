import os
from pathlib import Path

import pytest

from ml_playground.errors import RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run


def test_a_second_trainer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.lock():
        refused = pytest.raises(
            RunDirectoryError, match=f"another training \\(process {os.getpid()}\\) is writing here"
        )
        with refused, RunDirectory(tmp_path / "run").lock():
            pass
        with RunDirectory(tmp_path / "other").lock():
            pass
    with run.lock():
        pass


def test_numbered_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step in (1000, 20, 300):
        run.numbered_checkpoint(step).touch()
    for other in (run.last_checkpoint, run.best_checkpoint, run.nanogpt_checkpoint):
        other.touch()
    assert run.numbered_checkpoints() == [run.numbered_checkpoint(step) for step in (20, 300, 1000)]


def test_metrics_of_earlier_runs_all_stay(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    (tmp_path / "metrics-2.jsonl").write_text("two")
    for text in ("one", "three"):
        run.metrics.write_text(text)
        run.set_aside_metrics()
    assert [(tmp_path / f"metrics-{n}.jsonl").read_text() for n in (1, 2, 3)] == ["one", "two", "three"]


def test_what_a_kill_left_half_written_is_removed_by_the_next_training(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for name in ("ckpt_00000250.pt.tmp", "run.json.tmp", "ckpt_last.pt"):
        (tmp_path / name).write_bytes(b"half")
    with run.lock("export"):
        assert (tmp_path / "run.json.tmp").exists()
    with run.lock():
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt_last.pt", "export.lock", "train.lock"]


def test_each_use_has_a_lock_of_its_own(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run.lock(), run.lock("merge"), RunDirectory(tmp_path).lock("export"):
        with pytest.raises(RunDirectoryError, match="another merge"), RunDirectory(tmp_path).lock("merge"):
            pass
        run.require()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_folder_that_was_moved_while_it_is_locked_is_not_written_to(tmp_path: Path, replaced: bool) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.lock():
        run.require()
        (tmp_path / "run").rename(tmp_path / "moved")
        if replaced:
            (tmp_path / "run").mkdir()
        with pytest.raises(RunDirectoryError, match="was moved or deleted while in use"):
            run.require()
    run.require()  # nothing is held any more


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000, b"[1]", None])
def test_files_that_say_nothing_are_damaged_not_a_traceback(tmp_path: Path, text: bytes | None) -> None:
    run = RunDirectory(tmp_path)
    assert Run.open(tmp_path).record is None
    assert Run.open(tmp_path).summary is None
    for path in (run.info, run.summary):
        path.mkdir() if text is None else path.write_bytes(text)
    with pytest.raises(RunDirectoryError, match=r"run\.json is damaged"):
        _ = Run.open(tmp_path).record
    with pytest.raises(RunDirectoryError, match=r"summary\.json is damaged"):
        _ = Run.open(tmp_path).summary


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("phrases/out/phrases", "phrases"),
        ("phrases/out/lr/wide/seed-1", "lr/wide/seed-1"),
        ("out/run", "run"),
        ("elsewhere/run", "run"),
        ("elsewhere/out", "out"),
    ],
)
def test_it_is_named_by_the_folders_of_its_sweep(path: str, name: str) -> None:
    assert RunDirectory(Path(path)).name == name
