import io

import pytest

from ml_playground.run.sinks.console import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def report(console: Console) -> None:
    console.validation(4, 2.5, 3.5, improved=True)
    console.advance()
    console.train(5, 2.25, 1e-3, 12345.0, 3725.0)
    console.close()


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    report(Console(step=4, max_iters=10))
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "step 4/10 validation: 2.5000 nats/token, 3.5000 bits/byte (best so far)",
        "step 5/10 loss 2.2500 val 2.5000 lr 1.00e-03 12,345 tok/s 1:02:05 left",
    ]
    assert said.err == ""


def test_on_a_terminal_there_is_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    report(Console(step=4, max_iters=10))
    live = terminal.getvalue()
    assert "\r" in live
    assert "loss 2.2500 val 2.5000 lr 1.00e-03 12,345 tok/s" in live
    assert "5/10" in live


def test_the_live_line_has_a_new_validation_loss_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    console = Console(step=4, max_iters=10, val_loss=9.0)
    console.train(5, 2.25, 1e-3, 12345.0, 3725.0)
    console.validation(5, 1.5, 3.5, improved=True)
    last = terminal.getvalue().rpartition("\r")[2]
    assert "loss 2.2500 val 1.5000 lr" in last
    console.close()
