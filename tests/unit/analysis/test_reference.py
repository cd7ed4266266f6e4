"""What a training says of its loss, beside that of other runs of its configuration."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from scipy.stats import norm

from ml_playground.analysis.reference import Reference, reference_path
from ml_playground.errors import RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.opened import Run
from ml_playground.run.progress import Progress
from ml_playground.run.records import Machine, MetricRow, RunRecord, Status, Summary
from ml_playground.run.rows import append_jsonl

TRAIN = {"data": {"batch_size": 4, "dataset_dir": "d"}, "runtime": {"max_iters": 6, "seed": 1, "out_dir": "o"}}
VERSIONS = {"torch": "1"}
LOSSES = [1.00, 1.02, 0.98, 1.01, 0.99]


def at(loss: float, step: int = 6) -> Progress:
    return Progress(step=step, evaluated_at=step, val_loss=loss)


def run(
    folder: Path, seed: int, loss: float, *, batch_size: int = 4, status: Status = "finished", data: str = "text"
) -> Run:
    directory = RunDirectory(folder)
    folder.mkdir(exist_ok=True)
    train = {"data": {**TRAIN["data"], "batch_size": batch_size}, "runtime": {**TRAIN["runtime"], "seed": seed}}
    machine = Machine("cpu", 0, "cpu", "Linux")
    RunRecord(None, {"train": train}, {}, None, data, 1, VERSIONS, None, machine, 1).write(directory.info)
    Summary(status, "now", 6, at(loss)).write(directory.summary)
    for step, value in ((0, 2 * loss), (6, loss)):
        append_jsonl(directory.metrics, MetricRow(step, 0, 0.0, 0, {"val/loss": value}).as_json())
    append_jsonl(directory.metrics, MetricRow(3, 0, 0.0, 0, {"train/loss": 1.0}).as_json())
    return Run.open(folder)


@pytest.fixture
def reference(tmp_path: Path) -> Reference:
    return Reference.of([run(tmp_path / str(seed), seed, loss) for seed, loss in enumerate(LOSSES)])


def test_it_comes_back_as_it_was_written(reference: Reference, tmp_path: Path) -> None:
    path = reference_path(tmp_path / "config.toml")
    assert (path.name, reference_path(tmp_path / "wide.toml").name) == ("reference.json", "wide.reference.json")
    assert Reference.read(path) is None
    reference.write(path)
    assert Reference.read(path) == reference
    path.write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"reference\.json is damaged"):
        Reference.read(path)


def test_the_band_holds_that_share_of_further_runs(tmp_path: Path) -> None:
    """Of runs from a normal distribution, on average over references that are made from five of them each."""
    inside: list[float] = []
    for draw in range(40):
        chance = Random(draw)
        runs = [run(tmp_path / f"{draw}-{seed}", seed, chance.gauss(1.0, 0.01)) for seed in range(5)]
        *_, end = Reference.of(runs).evaluations
        inside.append(float(norm.cdf(end.high, 1.0, 0.01) - norm.cdf(end.low, 1.0, 0.01)))
    assert sum(inside) / len(inside) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(
    ("loss", "said"), [(1.0, "the validation loss is as expected"), (1.2, "is above"), (0.8, "is below")]
)
def test_a_loss_is_inside_or_outside(reference: Reference, loss: float, said: str) -> None:
    line = reference.verdict(TRAIN, "text", VERSIONS, at(loss))
    assert line is not None
    assert said in line
    assert line.startswith("!") == (loss != 1.0)


def test_outside_the_versions_that_differ_are_named(reference: Reference) -> None:
    same, other = (reference.verdict(TRAIN, "text", versions, at(2.0)) for versions in (VERSIONS, {"torch": "2"}))
    assert same is not None
    assert "nothing else differs" in same
    assert other is not None
    assert "torch 2 instead of 1" in other


@pytest.mark.parametrize(
    "change",
    [{"runtime": {"max_iters": 7}}, {"data": {"batch_size": 5}}, {"optim": {"kind": "muon"}}],
)
def test_nothing_is_said_of_another_configuration(reference: Reference, change: dict[str, dict[str, object]]) -> None:
    train = {**TRAIN, **{name: {**TRAIN.get(name, {}), **table} for name, table in change.items()}}
    assert reference.verdict(train, "text", VERSIONS, at(1.0)) is None


def test_nothing_is_said_of_other_data_or_of_a_run_that_is_not_at_the_end(reference: Reference) -> None:
    assert reference.verdict(TRAIN, "another", VERSIONS, at(1.0)) is None
    assert reference.verdict(TRAIN, "text", VERSIONS, at(1.0, step=5)) is None
    assert reference.verdict(TRAIN, "text", VERSIONS, replace(at(1.0), evaluated_at=0)) is None


def test_where_and_with_which_seed_makes_no_difference(reference: Reference) -> None:
    runtime = {**TRAIN["runtime"], "seed": 99, "out_dir": "elsewhere", "threads": 3}
    assert reference.verdict({**TRAIN, "runtime": runtime}, "text", VERSIONS, at(1.0)) is not None


Spoil = Callable[[Path], Run]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: run(path, 0, 1.0), "5 different seeds, there are 4"),
        (lambda path: run(path, 9, 1.0, batch_size=8), "differs from the others in more than its seed"),
        (lambda path: run(path, 9, 1.0, data="another"), "differs from the others in more than its seed"),
        (lambda path: run(path, 9, 1.0, status="stopped"), "is not a finished run"),
    ],
)
def test_runs_that_make_no_reference_are_refused(tmp_path: Path, spoil: Spoil, why: str) -> None:
    runs = [run(tmp_path / str(seed), seed, 1.0) for seed in range(4)]
    with pytest.raises(RunDirectoryError, match=why):
        Reference.of([*runs, spoil(tmp_path / "last")])
