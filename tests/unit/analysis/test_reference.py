"""What a training says of its loss, beside that of other runs of its configuration."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

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
MACHINE = Machine("EPYC", 8, "cpu", "Linux")
RECORD = RunRecord(None, {"train": TRAIN}, {}, None, "text", 1, VERSIONS, None, MACHINE, 1)
LOSSES = [1.00, 1.02, 0.98, 1.01, 0.99]


def at(loss: float, step: int = 6) -> Progress:
    return Progress(step=step, evaluated_at=step, val_loss=loss)


def run(
    folder: Path,
    seed: int,
    loss: float,
    *,
    batch_size: int = 4,
    status: Status = "finished",
    steps: tuple[int, ...] = (0, 6),
    **record: Any,
) -> Run:
    directory = RunDirectory(folder)
    folder.mkdir(exist_ok=True)
    train = {"data": {**TRAIN["data"], "batch_size": batch_size}, "runtime": {**TRAIN["runtime"], "seed": seed}}
    replace(RECORD, config={"train": train}, **record).write(directory.info)
    Summary(status, "now", 6, at(loss)).write(directory.summary)
    for step in steps:
        value = loss if step == 6 else 2 * loss
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
    line = reference.verdict(RECORD, at(loss))
    assert line is not None
    assert said in line
    assert line.startswith("!") == (loss != 1.0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, "versions and machine are those of its runs"),
        ({"machine": replace(MACHINE, memory=16)}, "versions and machine are those of its runs"),
        ({"versions": {"torch": "2"}}, "what else differs: torch 2 instead of 1"),
        ({"machine": replace(MACHINE, device="H100")}, "what else differs: device H100 instead of cpu"),
        ({"machine": replace(MACHINE, processor="")}, "what else differs: processor unknown instead of EPYC"),
    ],
)
def test_outside_it_is_said_what_else_differs(reference: Reference, other: dict[str, Any], said: str) -> None:
    line = reference.verdict(replace(RECORD, **other), at(2.0))
    assert line is not None
    assert line.endswith(f"One run in 20 is outside by chance; {said}")


@pytest.mark.parametrize(
    "change",
    [{"runtime": {"max_iters": 7}}, {"data": {"batch_size": 5}}, {"optim": {"kind": "muon"}}],
)
def test_nothing_is_said_of_another_configuration(reference: Reference, change: dict[str, dict[str, object]]) -> None:
    train = {**TRAIN, **{name: {**TRAIN.get(name, {}), **table} for name, table in change.items()}}
    assert reference.verdict(replace(RECORD, config={"train": train}), at(1.0)) is None


def test_nothing_is_said_of_other_data_or_of_a_run_that_is_not_at_the_end(reference: Reference) -> None:
    assert reference.verdict(replace(RECORD, data="another"), at(1.0)) is None
    assert reference.verdict(RECORD, at(1.0, step=5)) is None
    assert reference.verdict(RECORD, replace(at(1.0), evaluated_at=0)) is None


def test_where_and_with_which_seed_makes_no_difference(reference: Reference) -> None:
    runtime = {**TRAIN["runtime"], "seed": 99, "out_dir": "elsewhere", "threads": 3}
    assert reference.verdict(replace(RECORD, config={"train": {**TRAIN, "runtime": runtime}}), at(1.0)) is not None


Spoil = Callable[[Path], Run]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: run(path, 0, 1.0), r"last and .*/0 have the same seed, 0\. Name one of them only"),
        (
            lambda path: run(path, 9, 1.0, steps=(0,)),
            r"last/metrics\.jsonl lacks the evaluation at the end",
        ),
        (lambda path: run(path, 9, 1.0, model_identity="x"), "differs from the others in more than its seed"),
        (lambda path: run(path, 9, 1.0, versions={"torch": "2"}), "last was trained with torch 2 instead of 1"),
        (lambda path: run(path, 9, 1.0, machine=replace(MACHINE, device="H100")), "device H100 instead of cpu"),
        (lambda path: run(path, 9, 1.0, batch_size=8), "differs from the others in more than its seed"),
        (lambda path: run(path, 9, 1.0, data="another"), "differs from the others in more than its seed"),
        (lambda path: run(path, 9, 1.0, status="stopped"), "is not a finished run"),
    ],
)
def test_runs_that_make_no_reference_are_refused(tmp_path: Path, spoil: Spoil, why: str) -> None:
    runs = [run(tmp_path / str(seed), seed, 1.0) for seed in range(4)]
    with pytest.raises(RunDirectoryError, match=why):
        Reference.of([*runs, spoil(tmp_path / "last")])


def test_four_seeds_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="5 different seeds, there are 4"):
        Reference.of([run(tmp_path / str(seed), seed, 1.0) for seed in range(4)])


def test_an_evaluation_that_one_run_lacks_is_left_out(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(seed), seed, 1.0, steps=(6,) if seed == 3 else (0, 6)) for seed in range(5)]
    assert [each.step for each in Reference.of(runs).evaluations] == [6]
