"""Which runs are shown, and what is said of them."""

import json
import shutil
from pathlib import Path

import pytest

from ml_playground.cli import main
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sweep import SweepArm, SweepRecord, SweepRun
from tests.lit.conftest import trained
from tests.lit.shown import Shown
from tests.project import Project


def copied(project: Project, name: str) -> Path:
    folder = project.out.parent / name
    shutil.copytree(project.out, folder)
    return folder


def without_checkpoint(folder: Path) -> Path:
    for path in folder.rglob("*.pt"):
        path.unlink()
    return folder


def test_a_run_without_a_checkpoint_is_left_out(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    trained(project)
    empty = without_checkpoint(copied(project, "empty"))
    capsys.readouterr()
    shown = Shown(project, [project.out.parent])
    assert [name for name in shown.info["models"] if not name.startswith("_")] == ["tiny"]
    errors = capsys.readouterr().err
    assert errors.startswith("! left out: tiny/out/empty: no checkpoint")
    assert "Or set [lit] runs to an existing run: tiny/out/tiny" in errors
    assert main(["lit", str(project.folder), str(empty)]) == 2
    assert "none of these runs can be shown:\ntiny/out/empty: no checkpoint" in capsys.readouterr().err


def test_a_run_that_was_trained_on_other_data_is_marked(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.configure({"prepare.source": '"lines"', "prepare.split.val_fraction": "0.4"})
    shown = Shown(trained(project))
    warning = "rained on other data than is prepared now: these texts may be among it."
    assert warning not in capsys.readouterr().err
    assert warning not in shown.info["models"]["tiny"]["description"]
    project.configure({"prepare.split.val_fraction": "0.3"})
    project.ok("prepare")
    shown = Shown(project)
    assert f"ckpt_best.pt was t{warning}" in capsys.readouterr().err
    assert f"T{warning}" in shown.info["models"]["tiny"]["description"]


def test_a_run_of_another_file_is_said_to_be(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    trained(project)
    record = RunDirectory(project.out).info
    project.preset("other", 'extends = "config.toml"\n')
    record.write_text(json.dumps({**json.loads(record.read_text()), "toml": "tiny/other.toml"}))
    capsys.readouterr()
    Shown(project)
    assert "! tiny/out/tiny was trained with tiny/other.toml, another TOML file" in capsys.readouterr().err


def test_runs_of_a_sweep_are_named_by_their_arms(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    trained(project)
    arms = [SweepArm(name, {}, {}, 6, None, "") for name in ("base", "wide")]
    runs = [SweepRun(arm.name, 1, share, 6, f"{arm.name}/{share}/seed-1") for share in (0.5, 1.0) for arm in arms]
    runs.append(SweepRun("wide", 2, 1.0, 6, "wide/1.0/seed-2"))
    folder = project.out.parent / "sweep"
    for run in runs[:-1]:
        copied(project, f"sweep/{run.folder}")
    SweepRecord("tiny/sweep.toml", "", "steps", [1], [0.5, 1.0], 0, 1, arms, runs).write(folder)
    capsys.readouterr()
    shown = Shown(project, [folder])
    assert [name for name in shown.info["models"] if not name.startswith("_")] == ["base", "wide"]
    errors = capsys.readouterr().err
    assert "! all runs are of the horizon 1" in errors
    assert "! left out: 1 of 3 runs: have not begun: 'sweep' resumes there" in errors
