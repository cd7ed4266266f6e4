"""Which runs `compare` takes, and what it does without its base, on runs that no training has made."""

from pathlib import Path

import pytest

from ml_playground.commands import compare
from ml_playground.commands.find_runs import find, of_folders
from ml_playground.errors import PlaygroundError
from ml_playground.run.records import Status
from ml_playground.run.sweep import SweepArm, SweepRecord, SweepRun
from tests.unit.analysis.made_up import write_run

_STEPS = {0.5: 50, 1.0: 100}


def problem(*what: Path, base: str | None = None) -> str:
    with pytest.raises(PlaygroundError) as raised:
        compare.run([str(each) for each in what], base, None)
    return str(raised.value)


def sweep(folder: Path, runs: dict[tuple[str, float], Status | None]) -> Path:
    """A sweep with a seed, some of whose runs have got so far."""
    planned = [
        SweepRun(arm, 1, horizon, _STEPS[horizon], f"{arm}/{'' if horizon == 1 else 'horizon-0.5/'}seed-1")
        for arm, horizon in runs
    ]
    for run in planned:
        if (status := runs[run.arm, run.horizon]) is not None:
            changes = {"train.runtime.max_iters": run.max_iters, "train.model.n_layer": 3 if run.arm == "deep" else 2}
            write_run(folder / run.folder, 2.0, changes=changes, status=status)
    arms = [SweepArm(name, {}, {}, 100, None, "") for name in dict.fromkeys(arm for arm, _ in runs)]
    horizons = sorted({horizon for _, horizon in runs})
    SweepRecord("", "", "steps", [1], horizons, 0, 1, arms, planned).write(folder)
    return folder


def test_another_run_never_takes_the_place_of_a_base_that_is_not_finished(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("a", "b", "c")]
    write_run(runs[0], 2.0, status="stopped")
    write_run(runs[1], 2.0)
    write_run(runs[2], 2.1, changes={"train.model.n_layer": 9})
    said = problem(*runs)
    assert said.startswith("no run of the base can be compared yet (0 of 1):\n")
    assert f"{runs[0]}: was stopped after 100 of 100 steps: 'train', or its sweep, takes it to its end" in said
    assert said.endswith(f"Wait for it, or choose another base with --base: {runs[1]}, {runs[2]}")
    assert problem(*runs, base="a") == problem(*runs, base=str(runs[0])) == said
    assert problem(tmp_path) == said
    assert problem(*runs, base="d").startswith("no base 'd'. There are: ")


def test_a_row_or_a_run_is_the_base(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("a", "b")]
    for run in runs:
        write_run(run, 2.0)
    assert of_folders(runs, None).of_base == runs[:1]
    assert of_folders(runs, "b").of_base == of_folders(runs, str(runs[1])).of_base == runs[1:]
    assert of_folders(runs, str(tmp_path)).of_base == runs, "a folder of runs"
    row = of_folders(runs, "n_layer = 9")
    assert (row.of_base, row.base) == ([], "n_layer = 9")


def test_a_sweep_waits_for_a_run_of_its_base(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "s", {("base", 1.0): None, ("deep", 1.0): "finished"})
    said = problem(folder)
    assert f"{folder / 'base' / 'seed-1'}: has not begun" in said
    assert said.endswith("--base: deep")
    assert find([str(folder)], "deep", None).of_base == [folder / "deep" / "seed-1"]


def test_runs_of_a_sweep_have_the_names_of_its_arms_however_they_are_named(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "s", {("base", 1.0): "finished", ("deep", 1.0): "finished", ("deep", 0.5): "finished"})
    runs = [folder / "deep" / "seed-1", folder / "deep" / "horizon-0.5" / "seed-1", folder / "base" / "seed-1"]
    write_run(tmp_path / "other", 2.0)
    found = of_folders([*runs, tmp_path / "other"], str(folder / "base"))
    assert [found.names.get(each) for each in found.folders] == ["deep", "deep", "base", None]
    assert found.of_base == of_folders([folder / "deep", folder / "base"], "base").of_base == runs[2:]


def test_the_longest_horizon_that_all_arms_have_finished_is_compared(tmp_path: Path) -> None:
    half: dict[tuple[str, float], Status | None] = {("base", 0.5): "finished", ("deep", 0.5): "diverged"}
    waiting = sweep(tmp_path / "waiting", {**half, ("base", 1.0): "finished", ("deep", 1.0): "running"})
    found = of_folders([waiting], None)
    assert [each.relative_to(waiting).as_posix() for each in found.folders] == [
        "base/horizon-0.5/seed-1",
        "deep/horizon-0.5/seed-1",
    ]
    (note,) = found.notes
    assert note.startswith("all runs are of the horizon 0.5, the longest at which every arm has a run that has ended")
    assert note.endswith("[compare] horizon selects another: 1")
    assert of_folders([waiting], None, 1.0).folders == [waiting / "base" / "seed-1", waiting / "deep" / "seed-1"]
    with pytest.raises(PlaygroundError, match=r"\[compare\] horizon = 0.3: the sweep in .* has 0.5, 1"):
        of_folders([waiting], None, 0.3)
    done = sweep(tmp_path / "done", {**half, ("base", 1.0): "finished", ("deep", 1.0): "finished"})
    assert of_folders([done], None).folders == [done / "base" / "seed-1", done / "deep" / "seed-1"]
    begun = sweep(tmp_path / "begun", {**dict.fromkeys(half), ("base", 0.5): "running", ("base", 1.0): None})
    assert of_folders([begun], None).folders == [begun / "base" / "horizon-0.5" / "seed-1"]


def test_a_folder_without_runs_has_none(tmp_path: Path) -> None:
    assert problem(tmp_path) == f"{tmp_path}: no runs in this folder"
    inside = sweep(tmp_path / "s", {("base", 1.0): "finished"})
    hint = f"To compare the runs of a sweep, name its folder: {inside}"
    assert problem(tmp_path) == f"{tmp_path}: no runs in this folder. {hint}"
    assert problem(tmp_path / "nowhere").startswith(f"{tmp_path / 'nowhere'}: no such folder")
