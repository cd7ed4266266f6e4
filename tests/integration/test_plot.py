"""`plot` through the command line's own entry."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ml_playground.run.records import ValidationText
from ml_playground.run.sweep import SweepArm, SweepRecord, SweepRun
from tests.project import Project
from tests.unit.analysis.made_up import TEXT, write_run

pytestmark = pytest.mark.usefixtures("prepared")

FASTER = {"train.optim.learning_rate": 0.01}


@pytest.fixture
def beside(project: Project) -> "Beside":
    project.configure({"plot.runs": '["tiny/out"]', "plot.x": '["tokens"]'})
    return Beside(project)


class Beside:
    """Made-up runs, of which the experiment's own one is called "tiny"."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def run(self, name: str, loss: float, **options: Any) -> Path:
        return write_run(self._project.out.parent / name, loss, **options).path


def words(project: Project, name: str) -> str:
    return "".join(ElementTree.parse(project.out / "reports" / name).getroot().itertext())


def test_it_draws_the_run(project: Project) -> None:
    project.ok("train")
    outcome = project.ok("plot")
    names = [f"curves_{x}{suffix}" for x in ("steps", "seconds") for suffix in (".svg", ".png")]
    assert [line.rpartition("/")[2] for line in outcome.out.splitlines()] == names
    assert all((project.out / "reports" / name).stat().st_size > 1000 for name in names)
    assert "tiny" in words(project, "curves_steps.svg")


def drawn(lines: str) -> list[str]:
    return [line.rpartition("/")[2] for line in lines.splitlines() if line.endswith(".svg")]


def test_it_draws_other_runs_beside_it_and_joins_seeds(project: Project, beside: Beside) -> None:
    beside.run("tiny", 2)
    beside.run("again", 2.1, seed=7)
    beside.run("faster", 1.5, changes=FASTER, parameters=2000)
    outcome = project.ok("plot")
    assert outcome.err == ""
    assert drawn(outcome.out) == ["curves_tokens.svg", "differences_tokens.svg", "pareto_parameters.svg"]
    curves = words(project, "curves_tokens.svg")
    assert "tiny (2 seeds)" in curves
    assert "learning_rate = 0.01" in curves
    assert "validation loss, nats per token" in curves


def test_the_same_seed_twice_is_one_run(project: Project, beside: Beside) -> None:
    beside.run("tiny", 2)
    beside.run("again", 2.1)
    assert "it is not another sample, and is left out" in project.ok("plot").err
    assert "seeds" not in words(project, "curves_tokens.svg")


@pytest.mark.parametrize("status", ["stopped", "diverged"])
def test_a_run_that_is_not_finished_is_drawn_alone(project: Project, beside: Beside, status: Any) -> None:
    beside.run("tiny", 2, status=status)
    outcome = project.ok("plot")
    assert (drawn(outcome.out), outcome.err) == (["curves_tokens.svg"], "")
    assert f"tiny ({status})" in words(project, "curves_tokens.svg")


def test_runs_that_are_not_finished_are_in_no_mean(project: Project, beside: Beside) -> None:
    beside.run("tiny", 2)
    beside.run("again", 2, seed=2, status="stopped")
    beside.run("faster", 1.5, changes=FASTER)
    beside.run("fastest", 9, seed=3, changes=FASTER, status="diverged")
    outcome = project.ok("plot")
    assert drawn(outcome.out) == ["curves_tokens.svg", "differences_tokens.svg"]
    assert outcome.err == "! tiny/out/fastest diverged, and is left out\n"
    curves = words(project, "curves_tokens.svg")
    assert "tiny seed 2 (stopped)" in curves
    assert "2 seeds" not in curves


def test_beside_a_run_that_is_not_finished_there_are_no_differences(project: Project, beside: Beside) -> None:
    beside.run("tiny", 2, status="stopped")
    beside.run("faster", 1.5, changes=FASTER)
    assert drawn(project.ok("plot").out) == ["curves_tokens.svg"]
    assert "learning_rate = 0.01" in words(project, "curves_tokens.svg")


def test_a_damaged_run_is_left_out_unless_the_others_are_compared_with_it(project: Project, beside: Beside) -> None:
    own, faster = beside.run("tiny", 2), beside.run("faster", 1.5, changes=FASTER)
    record = (faster / "run.json").read_text()
    (faster / "run.json").write_text(record[:100])
    outcome = project.ok("plot")
    assert drawn(outcome.out) == ["curves_tokens.svg"]
    assert outcome.err.startswith("! tiny/out/faster: ")
    assert "damaged" in outcome.err
    (faster / "run.json").write_text(record)
    (own / "run.json").write_text(record[:100])
    refused = project.run("plot")
    assert refused.code == 2
    assert refused.err.startswith("tiny/out/tiny cannot be drawn, and the other runs are compared with it.\n")
    assert "damaged" in refused.err


def test_other_tokens_of_the_same_text_are_drawn_in_bits_per_byte(project: Project, beside: Beside) -> None:
    beside.run("tiny", 2, bits=3.0)
    changes = {"prepare.tokenizer.kind": "bpe"}
    beside.run("bpe", 5, bits=2.5, changes=changes, data="other", validation=replace(TEXT, token_ids="other"))
    assert drawn(project.ok("plot").out) == ["curves_tokens.svg", "differences_tokens.svg"]
    assert "difference to tiny, bits per byte" in words(project, "differences_tokens.svg")


def test_what_is_not_on_one_scale_is_left_out(project: Project, beside: Beside) -> None:
    beside.run("tiny", 2)
    beside.run("part", 1, changes={"train.runtime.eval_iters": 5})
    other = ValidationText("other", "other", 1000)
    beside.run("text", 1, changes={"prepare.dataset": "other"}, data="other", validation=other)
    beside.run("long", 1, changes={"train.data.block_size": 16})
    outcome = project.ok("plot")
    assert drawn(outcome.out) == ["curves_tokens.svg"]
    long, text, part = sorted(outcome.err.splitlines())
    assert long.startswith("! block_size = 16 is not among the differences: it was evaluated in windows of another")
    assert part.startswith("! eval_iters = 5 is left out: its loss is of the first 40 ")
    assert text.startswith('! dataset = "other" is left out: its validation text is another than that of tiny')


def test_without_a_run_it_says_what_to_do(project: Project) -> None:
    outcome = project.run("plot")
    assert outcome.code == 2
    assert outcome.err.endswith("tiny/out/tiny is not trained yet. Run 'train' first.\n")


def test_runs_without_evaluations_are_left_out(project: Project, beside: Beside) -> None:
    metrics = beside.run("tiny", 2) / "metrics.jsonl"
    metrics.write_text('{"step": 1, "val/lo')
    outcome = project.run("plot")
    assert outcome.code == 2
    assert "! metrics.jsonl of tiny/out/tiny is incomplete: tiny is not among the curves" in outcome.err
    assert "there is nothing to draw" in outcome.err


def test_an_axis_named_twice_is_a_mistake_of_the_file(project: Project) -> None:
    project.configure({"plot.x": '["steps", "steps"]'})
    outcome = project.run("plot")
    assert outcome.code == 2
    assert "config.toml:" in outcome.err
    assert "must name at least one, and each once" in outcome.err


def test_a_seed_that_the_base_lacks_does_not_unpair_the_others(project: Project, beside: Beside) -> None:
    for seed in (1, 2, 3):
        beside.run("tiny" if seed == 1 else f"again-{seed}", 2 + seed / 10, seed=seed)
        beside.run(f"faster-{seed + 1}", 1.9 + (seed + 1) / 10, seed=seed + 1, changes=FASTER)
    assert project.ok("plot").err == ""
    assert "learning_rate = 0.01 (2 seeds)" in words(project, "differences_tokens.svg")
    assert "learning_rate = 0.01 (3 seeds)" in words(project, "curves_tokens.svg")


def test_a_sweep_is_drawn_by_its_arms_beside_its_base(project: Project) -> None:
    preset = project.preset(
        "s", 'extends = "config.toml"\n[sweep]\nseeds = [1, 2]\n[sweep.arms]\nfaster.train.optim.learning_rate = 0.01\n'
    )
    outcome = project.run("plot", preset)
    assert (outcome.code, outcome.err) == (2, "tiny/out/s is not trained yet. Run 'sweep' first.\n")
    folder = project.out.parent / "s"
    runs = [SweepRun(arm, seed, 1.0, 100, f"{arm}/seed-{seed}") for seed in (1, 2) for arm in ("base", "faster")]
    for number, each in enumerate(runs[:3]):
        changes = FASTER if each.arm == "faster" else {}
        write_run(folder / each.folder, 2.0 - number / 10, seed=each.seed, changes=changes)
    arms = [SweepArm(name, {}, {}, 100, None, "") for name in ("base", "faster")]
    SweepRecord("s.toml", "", "steps", [1, 2], [1.0], 0, 1, arms, runs).write(folder)
    outcome = project.ok("plot", preset)
    assert "! 1 of 4 runs: have not begun: 'sweep' resumes there" in outcome.err
    drawing = ElementTree.parse(folder / "reports" / "differences_steps.svg").getroot()
    assert "difference to base" in "".join(drawing.itertext())
    assert "faster" in "".join(drawing.itertext())
