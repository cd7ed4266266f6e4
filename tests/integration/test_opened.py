"""What readers learn of a run: how it stands, what it was worth at its end, and in which parts of the text."""

import pytest

from ml_playground.errors import RunDirectoryError
from ml_playground.run.opened import Run
from tests.integration.runs import AtStep, Killed, kill
from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")


def nats(run: Run) -> tuple[float, float]:
    """What the windows at the end sum to, and what the loss at the end says that they must."""
    windows, end = run.windows(), run.end
    assert windows is not None
    assert end is not None
    tokens = round(float(windows.sum()) / end.values["val/loss"])
    return float(windows.sum()) / tokens, end.values["val/loss"]


def test_a_killed_run_is_not_taken_for_a_running_one_and_has_no_end(
    project: Project, at_step: AtStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with monkeypatch.context() as patch:
        at_step(3, lambda: seen.append(Run.open(project.out).status))
        at_step(5, kill)
        with pytest.raises(Killed):
            project.run("train")
        patch.undo()
    run = Run.open(project.out)
    (project.out / "summary.json").write_text(run.directory.summary.read_text().replace('"failed"', '"running"'))
    assert seen == ["running"]
    assert (Run.open(project.out).status, run.end, run.windows(), run.reached_max_iters) == (
        "killed",
        None,
        None,
        False,
    )
    assert [row.step for row in run.evaluations()] == [0, 2, 4]
    monkeypatch.undo()
    project.ok("train")
    run = Run.open(project.out)
    assert (run.status, run.reached_max_iters) == ("finished", True)
    assert run.end == run.evaluations()[-1]
    summed, loss = nats(run)
    assert summed == pytest.approx(loss, rel=1e-12)


def test_windows_are_those_of_the_end_only(project: Project) -> None:
    project.ok("train")
    first = nats(Run.open(project.out))
    project.configure({"train.runtime.max_iters": "8"})
    project.ok("train")
    second = nats(Run.open(project.out))
    assert second != first
    assert second[0] == pytest.approx(second[1], rel=1e-12)
    (project.out / "val_windows.npy").unlink()
    project.ok("train")
    assert Run.open(project.out).windows() is None  # nothing was left to train, so nothing was evaluated


def test_a_training_that_stopped_early_has_an_end_too(project: Project) -> None:
    project.configure({"train.runtime.early_stop_patience": "1", "train.optim.learning_rate": "100.0"})
    project.ok("train")
    run = Run.open(project.out)
    assert run.end is not None
    assert (run.status, run.reached_max_iters) == ("finished", False)
    assert nats(run)[0] == pytest.approx(run.end.values["val/loss"], rel=1e-12)


def test_without_metrics_the_summary_has_the_loss_at_the_end(project: Project) -> None:
    project.configure({"train.runtime.sinks": '["console"]'})
    project.ok("train")
    run = Run.open(project.out)
    assert run.summary is not None
    assert run.end is not None
    assert run.evaluations() == []
    assert run.end.values["val/loss"] == run.summary.progress.val_loss


@pytest.mark.parametrize("damage", [b"", b"x", b"\x93NUMPY"])
def test_damaged_windows_are_named(project: Project, damage: bytes) -> None:
    project.ok("train")
    path = project.out / "val_windows.npy"
    for content in (damage, path.read_bytes()[:-1]):
        path.write_bytes(content)
        with pytest.raises(RunDirectoryError, match=r"val_windows\.npy is damaged"):
            Run.open(project.out).windows()


def test_a_half_written_row_is_skipped(project: Project) -> None:
    project.ok("train")
    rows = Run.open(project.out).evaluations()
    with (project.out / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 8, "val/lo')
    assert Run.open(project.out).evaluations() == rows
