"""A run belongs to the TOML file that it was trained with: another file of the same name neither resumes nor mixes."""

import json
import shutil
from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")

PRESET = 'extends = "tiny/config.toml"\n[train.runtime]\nmax_iters = {steps}\n'


def preset(project: Project, name: str, text: str = PRESET.format(steps=2)) -> Path:
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def trained_with(project: Project, run: str) -> str:
    return str(json.loads((project.folder / "out" / run / "run.json").read_text())["toml"])


@pytest.mark.parametrize("names", [("a/p.toml", "b/p.toml"), ("a/tiny.toml", "tiny/config.toml")])
def test_two_files_of_one_name_do_not_share_a_run(project: Project, names: tuple[str, str]) -> None:
    for name in names:
        if name != "tiny/config.toml":
            preset(project, name)
    first, second = (project.root / name for name in names)
    run = project.folder / "out" / ("p" if first.stem == "p" else "tiny")
    project.ok("train", first)
    assert trained_with(project, run.name) == names[0]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = project.run("train", second)
    assert outcome.code == 2
    assert f"was trained with {names[0]}, but this command uses {names[1]}" in outcome.err
    assert "[train.runtime] out_dir" in outcome.err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert f"was trained with {names[0]}" in project.ok("sample", second).err
    assert "was trained with" not in project.ok("sample", first).err
    project.ok("train", first)


def test_nor_do_files_outside_the_runs_project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    places = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    one, other = (place / "p.toml" for place in places)
    for each in (one, other):
        each.write_text(PRESET.format(steps=2).replace("tiny/config.toml", str(project.config)))
    project.ok("train", one)
    assert "but this command uses" in project.run("train", other).err
    one.unlink()  # it was moved
    project.ok("train", other)


def test_a_file_that_names_the_run_may_resume_that_of_another(project: Project) -> None:
    project.ok("train", preset(project, "a/p.toml"))
    resumed = PRESET.format(steps=4) + 'out_dir = "tiny/out/p"\n'
    assert "resuming from step 2" in project.ok("train", preset(project, "b/p.toml", resumed)).out
    assert trained_with(project, "p") == "b/p.toml"


def test_but_not_one_that_inherits_the_name_of_the_run(project: Project) -> None:
    project.configure({"train.runtime.out_dir": '"tiny/out/run"'})
    project.ok("train")
    assert "was trained with tiny/config.toml" in project.run("train", preset(project, "a/p.toml")).err


def test_a_project_that_was_moved_or_a_file_that_was_renamed_resumes(project: Project, tmp_path: Path) -> None:
    project.ok("train", preset(project, "a/p.toml"))
    (project.root / "a").rename(project.root / "presets")
    preset(project, "presets/p.toml", PRESET.format(steps=4))
    assert "resuming from step 2" in project.ok("train", project.root / "presets" / "p.toml").out
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("tiny", "presets", "pyproject.toml"):
        shutil.move(project.root / name, moved / name)
    project.folder = moved / "tiny"
    preset(project, "moved/presets/p.toml", PRESET.format(steps=6))
    assert "resuming from step 4" in project.ok("train", moved / "presets" / "p.toml").out


@pytest.mark.parametrize("damage", ["", "[]", "nothing", '{"toml": 3}', '{"toml": "a\\u0000b"}'])
def test_a_damaged_record_locks_nobody_out(project: Project, damage: str) -> None:
    project.ok("train")
    (project.out / "run.json").write_text(damage)
    project.ok("train")


def test_describe_lists_the_runs_beside_this_one(project: Project) -> None:
    for number in range(12):
        project.ok("train", preset(project, f"a/p{number}.toml"))
    (project.folder / "out" / "p3" / "summary.json").write_text('{"step": "x"}')
    (project.folder / "out" / "p4" / "summary.json").unlink()
    said = project.ok("describe").out
    for number in range(12):
        assert f"tiny/out/p{number} " in said
    assert said.count("  step 2, best validation loss ") == 10
    assert "summary.json is damaged" in said
    assert "not finished yet" in said


def test_a_preset_that_only_changes_the_prompt_is_shown_the_run_to_take(project: Project) -> None:
    project.ok("train")
    only = preset(project, "a/only.toml", 'extends = "tiny/config.toml"\n[sample.sample]\nstart = "dog"\n')
    outcome = project.run("sample", only)
    assert "Run 'train' first. Or set [sample.runtime] out_dir to an existing run: tiny/out/tiny\n" in outcome.err
    only.write_text(only.read_text() + '[sample.runtime]\nout_dir = "tiny/out/tiny"\n')
    assert project.ok("sample", only).out.startswith("dog")
