"""The time that a sweep has left."""

import pytest

from ml_playground.commands.sweep.progress import Progress
from ml_playground.run.sweep import SweepRun


def run(name: str) -> SweepRun:
    return SweepRun(name, 1, 1.0, 100, name)


def test_the_rest_of_a_resumed_run_says_little_of_the_whole_ones_to_come(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(jobs=2, done=0, runs=4) as progress:
        progress.expect({"rest": 10.0, "a": 90.0, "b": 90.0})
        progress.begin(run("rest"))
        progress.end(run("rest"), "done", remarkable=False)  # at once, in no time
        assert capsys.readouterr().out == "1/4 rest: done (0 s), 1 min 21 s left\n"
        progress.begin(run("a"))
        progress.end(run("a"), "done", remarkable=False)
        assert capsys.readouterr().out == "2/4 a: done (0 s), 21 s left\n"
