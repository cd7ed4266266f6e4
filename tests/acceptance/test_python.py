"""docs/python.md: the public interface, its examples run as they stand."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ml_playground
from ml_playground.errors import PromptError, RunDirectoryError
from tests.project import Project

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    Path("quick.toml").write_text(toml)
    names: dict[str, Any] = {}
    for example in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(example, names)
    assert {path.name for path in tmp_path.iterdir()} == {"quick.toml", "data", "runs"}
    said = capsys.readouterr().out
    assert "did you mean phrases?" in said
    assert "60 finished" in said
    run, scores = names["run"], names["scores"]
    assert "".join(score.text for score in scores) == "the cat sits on the mat"
    assert float(names["token_losses"](run.model, names["ids"]).mean()) == pytest.approx(run.trained.val_loss, rel=1e-5)
    assert names["losses"][60] == pytest.approx(run.trained.val_loss)


def test_a_run_is_opened_in_silence_and_left_as_it_is(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.ok("prepare")
    project.ok("train")
    (project.out / "ckpt_last.pt.tmp").write_bytes(b"being written by a training")
    before = {path: path.stat().st_mtime_ns for path in project.out.rglob("*")}
    run = ml_playground.load_run("tiny/out/tiny")
    assert [row.step for row in run.metrics() if "val/loss" in row.values] == [0, 2, 4, 6]
    text = run.sample("the", max_new_tokens=9, seed=3)
    assert len(text) == 9
    assert text == run.sample("the", max_new_tokens=9, seed=3) != run.sample("the", max_new_tokens=9, seed=4)
    assert [score.text for score in run.score("the cat")] == list("he cat")  # nothing predicts the first
    with pytest.raises(PromptError):
        run.score("ü")
    assert run.score("t") == []
    assert {path: path.stat().st_mtime_ns for path in project.out.rglob("*")} == before
    assert capsys.readouterr() == ("", "")
    with pytest.raises(RunDirectoryError, match=r"^nowhere: there is no such folder\. A run is in the out_dir"):
        ml_playground.load_run("nowhere")


def test_a_run_that_is_not_in_the_current_folder_is_looked_for_in_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    project.out.mkdir(parents=True)
    for path, there in (("tiny/out/tiny", "The run is at "), ("tiny/out/other", "Nor is there ")):
        with pytest.raises(RunDirectoryError, match=f"^{path}: there is no such folder") as error:
            ml_playground.load_run(path)
        assert f"counts from the current folder: {project.folder / path}." in str(error.value)
        assert f"{there}{project.root / path}." in str(error.value)


def test_all_public_names_are_there_and_none_is_imported_before_it_is_used() -> None:
    for name in ml_playground.__all__:
        assert getattr(ml_playground, name).__name__ == name
    assert set(ml_playground.__all__) <= set(dir(ml_playground))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vars(ml_playground)["__getattr__"]("nothing")
    heavy = "{'torch', 'numpy', 'pydantic'}"
    code = f"import sys, ml_playground; ml_playground.PlaygroundError; assert not {heavy} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
