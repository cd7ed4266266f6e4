import io
from pathlib import Path

import pytest

from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.sinks import SinkStart
from ml_playground.run.sinks.console import Console
from tests.unit.run.sinks import training, validation


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console_at(progress: Progress) -> Console:
    return Console(SinkStart(RunDirectory(Path("nowhere")), 10, resumed=True, progress=progress))


def steps(loss: float) -> dict[str, float]:
    return {**training(loss), "train/tokens_per_sec": 12345.0, "train/step_time_ms": 745_000.0}


def report(console: Console) -> None:
    console.log(4, validation(2.5, 3.5))
    console.advance()
    console.log(5, steps(2.25))
    console.close()


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    report(console_at(Progress(step=4)))
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "step 4/10 validation: 2.5000 nats/token, 3.5000 bits/byte (best so far)",
        "step 5/10 loss 2.2500 val 2.5000 lr 1.00e-03 12,345 tok/s 1:02:05 left",
    ]
    assert said.err == ""


def test_on_a_terminal_there_is_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    report(console_at(Progress(step=4)))
    live = terminal.getvalue()
    assert "\r" in live
    assert "loss 2.2500 val 2.5000 lr 1.00e-03 12,345 tok/s" in live
    assert "5/10" in live


def test_the_live_line_has_a_new_validation_loss_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    console = console_at(Progress(step=4, val_loss=9.0))
    console.log(5, steps(2.25))
    console.log(5, validation(1.5, 3.5))
    last = terminal.getvalue().rpartition("\r")[2]
    assert "loss 2.2500 val 1.5000 lr" in last
    console.close()


def test_only_a_loss_below_all_before_is_called_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    console = console_at(Progress(step=4, best_val_loss=2.0))
    for loss in (2.5, 1.5, 1.5, 1.75, 1.25):
        console.log(5, validation(loss))
    assert ["best so far" in line for line in capsys.readouterr().out.splitlines()] == [False, True, False, False, True]
