"""`plot` through the command line's own entry."""

from xml.etree import ElementTree

import pytest

from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")


def trained_as(project: Project, name: str, **changes: str) -> None:
    lines = "".join(f"{key.replace('__', '.')} = {value}\n" for key, value in changes.items())
    path = project.preset(name, f'extends = "config.toml"\n{lines}')
    project.ok("train", path)


def words(project: Project, name: str) -> str:
    return "".join(ElementTree.parse(project.out / "reports" / name).getroot().itertext())


def test_it_draws_the_run(project: Project) -> None:
    project.ok("train")
    outcome = project.ok("plot")
    names = [f"curves_{x}{suffix}" for x in ("steps", "seconds") for suffix in (".svg", ".png")]
    assert [line.rpartition("/")[2] for line in outcome.out.splitlines()] == names
    assert all((project.out / "reports" / name).stat().st_size > 1000 for name in names)
    assert "tiny" in words(project, "curves_steps.svg")


def test_it_draws_other_runs_beside_it_and_joins_seeds(project: Project) -> None:
    project.ok("train")
    trained_as(project, "again", train__runtime__seed="7")
    trained_as(project, "faster", train__optim__learning_rate="0.01")
    project.configure({"plot.runs": '["tiny/out"]', "plot.x": '["tokens"]'})
    outcome = project.ok("plot")
    drawn = words(project, "curves_tokens.svg")
    assert "(2 seeds)" in drawn
    assert "faster" in drawn
    names = [line.rpartition("/")[2] for line in outcome.out.splitlines() if line.endswith(".svg")]
    assert names == ["curves_tokens.svg", "differences_tokens.svg", "pareto.svg"]


def test_without_a_run_it_says_what_to_do(project: Project) -> None:
    outcome = project.run("plot")
    assert outcome.code == 2
    assert outcome.err.endswith("tiny/out/tiny is not trained yet. Run `train` first.\n")


def test_runs_without_evaluations_are_left_out(project: Project) -> None:
    project.ok("train")
    (project.out / "metrics.jsonl").write_text('{"step": 1, "val/lo')
    outcome = project.run("plot")
    assert outcome.code == 2
    assert "has no evaluations in metrics.jsonl, and is left out" in outcome.err
    assert "there is nothing to draw" in outcome.err


def test_an_axis_named_twice_is_a_mistake_of_the_file(project: Project) -> None:
    project.configure({"plot.x": '["steps", "steps"]'})
    outcome = project.run("plot")
    assert outcome.code == 2
    assert "config.toml:" in outcome.err
    assert "must name at least one, and each once" in outcome.err


def test_runs_evaluated_on_other_text_are_left_out(project: Project) -> None:
    project.ok("train")
    (project.folder / "other").mkdir()
    (project.folder / "other" / "input.txt").write_text(project.text.read_text().replace("owl", "low"))
    other = 'prepare.raw_dir = "tiny/other"\nprepare.dataset_dir = "tiny/datasets/other"\n'
    preset = project.preset("other", f'extends = "config.toml"\n{other}')
    project.ok("prepare", preset)
    project.ok("train", preset)
    project.configure({"plot.runs": '["tiny/out"]'})
    assert "tiny/out/other was evaluated on other text or tokens, and is left out" in project.ok("plot").err
