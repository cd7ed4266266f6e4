"""`runs` through the command line's own entry."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_playground.cli import main
from ml_playground.run.directory import RunDirectory
from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")

ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys
from ml_playground.cli import main

assert main(["runs", sys.argv[1]]) == 0
print({"torch", "numpy", "scipy", "matplotlib"} & set(sys.modules))
"""


@pytest.fixture
def trained(project: Project) -> Project:
    """With a run of its own file, one of another, and one of a sweep's, in this order."""
    project.ok("train")
    wide = project.preset("wide", 'extends = "config.toml"\ntrain.optim = "sgd"\ntrain.model.n_embd = 32')
    project.ok("train", wide)
    arm = project.preset(
        "arm", 'extends = "config.toml"\n[train.runtime]\nout_dir = "tiny/out/sweep/arm/seed-2"\nseed = 2'
    )
    project.ok("train", arm)
    for number, name in enumerate(("tiny", "wide", "sweep/arm/seed-2")):
        edit(project.folder / "out" / name / "summary.json", time=f"2020-01-0{number + 1}T00:00:00+00:00")
    return project


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    assert main(["runs", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def objects(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(capsys, *arguments, "--json")]


def test_runs_are_listed_the_newest_first_with_what_they_change(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows = lines(capsys, str(trained.folder))
    heads = "run status nats bits/byte parameters tokens seconds last_written seed changes"
    assert head.split() == heads.replace("_", " ").split()
    assert [row.split()[0] for row in rows] == ["sweep/arm/seed-2", "wide", "tiny"]
    assert [row.split()[1] for row in rows] == ["finished"] * 3
    assert rows[1].endswith("  1337  model.n_embd = 32, optim = sgd")
    assert rows[2].endswith("  1337")
    row = trained.metrics()[-1]
    numbers = f"{row['val/loss']:.4f} {row['val/bits_per_byte']:.4f} 3,600 192".split()
    assert rows[2].split()[2:6] == numbers


def test_a_program_gets_the_exact_numbers_and_changes_no_run(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path: path.stat().st_mtime_ns for path in trained.root.rglob("*")}
    *_, found = objects(capsys, str(trained.folder))
    row = trained.metrics()[-1]
    assert (found["name"], found["path"]) == ("tiny", str(trained.out))
    assert (found["loss"], found["loss_at"], found["step"], found["max_iters"]) == (row["val/loss"], 6, 6, 6)
    assert (found["bits_per_byte"], found["tokens"], found["seed"]) == (row["val/bits_per_byte"], 192, 1337)
    assert (found["changes"], found["problem"]) == ([], None)
    lines(capsys, str(trained.folder))
    assert {path: path.stat().st_mtime_ns for path in trained.root.rglob("*")} == files


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (".", ["tiny/out/sweep/arm/seed-2", "tiny/out/wide", "tiny/out/tiny"]),
        ("tiny/out/sweep", ["arm/seed-2"]),
        ("tiny/out/wide", ["tiny/out/wide"]),
    ],
)
def test_a_folder_has_the_runs_below_it(
    trained: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, where: str, names: list[str]
) -> None:
    monkeypatch.chdir(trained.root)
    found = objects(capsys, where)
    assert [each["name"] for each in found] == names
    assert all(each["changes"] is not None for each in found)


def test_a_run_elsewhere_has_no_experiment_to_be_compared_with(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.out.rename(trained.root / "elsewhere")
    assert lines(capsys, str(trained.root / "elsewhere"))[-1].endswith("  1337  ?")


def test_the_best_loss_is_marked_where_a_run_is_not_finished(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained.out / "summary.json"
    summary = json.loads(path.read_text())
    edit(path, status="running", best_val_loss=1.5, best_step=4, val_loss=2.0, bits_per_byte=3.0)
    edit(RunDirectory(trained.folder / "out" / "wide").summary, max_iters=9)
    *_, stopped_early, killed, note = lines(capsys, str(trained.folder))
    assert killed.split()[:4] == ["tiny", "killed", "1.5000*", "2.2500*"]
    assert stopped_early.split()[:3] == ["wide", "finished", "early"]
    assert note == "* not finished: the best loss so far"
    with RunDirectory(trained.out).lock():
        assert objects(capsys, str(trained.folder))[-1]["status"] == "running"
    edit(path, **{**summary, "status": "stopped", "val_loss": None, "bits_per_byte": None, "best_val_loss": None})
    assert objects(capsys, str(trained.folder))[-1]["loss"] is None


def test_each_damaged_or_older_run_is_a_line(trained: Project, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained.folder / "out"
    for name in ("cut", "old", "bare", "folder", "new"):
        shutil.copytree(trained.out, out / name)
    (out / "cut" / "summary.json").write_bytes((trained.out / "summary.json").read_bytes()[:50])
    (out / "old" / "run.json").write_text('{"toml": null}')
    (out / "bare" / "run.json").unlink()
    (out / "folder" / "run.json").unlink()
    (out / "folder" / "run.json").mkdir()
    (out / "new" / "summary.json").unlink()
    found = {each["name"]: each for each in objects(capsys, str(trained.folder))}
    assert {name for name, each in found.items() if each["status"] == "damaged"} == {"cut", "old", "bare", "folder"}
    assert found["new"]["status"] == "killed"
    said = "\n".join(lines(capsys, str(trained.folder)))
    assert len(said.splitlines()) == 9
    assert "summary.json is damaged, or was written by another version" in said
    assert "run.json is missing" in said


def test_what_runs_change_is_unknown_where_the_file_has_mistakes(
    trained: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.configure({"train.runtime.max_iters": "-1"})
    outcome = trained.run("runs")
    assert outcome.code == 0
    assert all(line.endswith("  ?") for line in outcome.out.splitlines()[1:])
    assert outcome.err.count("! what runs change is not shown: ") == 1
    assert capsys.readouterr().out == ""


def test_long_lines_are_cut_on_a_terminal_only(trained: Project) -> None:
    command = [sys.executable, "-m", "ml_playground.cli", "runs", str(trained.folder)]
    whole = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    inner, outer = os.openpty()
    environment = {**os.environ, "COLUMNS": "60"}
    subprocess.run(command, cwd=ROOT, stdout=outer, env=environment, check=True)
    os.close(outer)
    shown = os.read(inner, 10**5).decode().splitlines()
    os.close(inner)
    assert len(whole[1]) > 60
    assert shown == [f"{line[:59]}…" for line in whole]


def test_nothing_heavy_is_imported(trained: Project) -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(trained.folder)], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines()[-1] == "set()"


def test_no_runs_and_no_such_place(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.ok("runs").out.startswith("no runs in ")
    assert main(["runs", str(project.root / "nowhere")]) == 2
    assert "nowhere: no such folder (`list` shows the experiments)" in capsys.readouterr().err


def test_runs_of_all_experiments_are_named_by_them(capsys: pytest.CaptureFixture[str]) -> None:
    for each in objects(capsys):
        assert "out" not in each["name"].split("/")[:2]
