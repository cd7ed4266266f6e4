"""`compare` through the command line's own entry, on runs that were really trained."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_playground.cli import main
from ml_playground.commands.find_runs import find
from ml_playground.run.records import Summary
from tests.project import Outcome, Project

pytestmark = pytest.mark.usefixtures("prepared", "quick_workers")


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> "Compare":
    return Compare(capsys)


class Compare:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._capsys.readouterr()
        code = main(["compare", *map(str, arguments)])
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)


def train(project: Project, name: str, seed: int, *options: str) -> Path:
    lines = ["[train.runtime]", f"seed = {seed}", *options]
    preset = project.preset(f"{name}-{seed}", "\n".join(['extends = "config.toml"', *lines]))
    project.ok("train", preset)
    return project.out.parent / f"{name}-{seed}"


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    return found


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in results(folder)["rows"]}


def test_an_experiment_is_compared_with_its_own_run(project: Project, compare: Compare) -> None:
    project.configure({"train.runtime.seed": "1", "train.runtime.max_iters": "20", "train.data.block_size": "6"})
    project.ok("train")
    for seed in (2, 3):
        train(project, "again", seed)
    for seed in (1, 2, 3):
        train(project, "fast", seed, "[train.optim]", "learning_rate = 0.1")
    outcome = compare(project.folder)
    assert (outcome.code, outcome.err) == (0, "")
    folder = project.folder / "reports" / "compare"
    pictures = {f"compare-{name}.svg" for name in ("forest", "curves", "differences", "pareto_seconds")}
    assert {path.name for path in folder.iterdir()} == {"compare.json", "compare.md", "compare.html", *pictures}
    assert all(f"]({name})" in (folder / "compare.md").read_text() for name in pictures)
    assert (folder / "compare.html").read_text().count("<svg ") == len(pictures)
    base, fast = rows(folder).values()
    losses = [Summary.read(project.out.parent / name / "summary.json") for name in ("tiny", "again-2", "again-3")]
    assert base["losses"] == [each.progress.val_loss for each in losses if each]
    assert (fast["name"], fast["verdict"]) == ("learning_rate = 0.1", "better")
    assert fast["difference"]["paired"]
    assert fast["over_text"]["high"] < 0
    assert fast["shares"]["steps"]["value"] < 0.5
    assert 0 < base["cost"]["without_tables"] < base["cost"]["parameters"]
    assert "learning_rate = 0.1" in outcome.out
    assert "better" in outcome.out
    written = [sample["text"] for sample in results(folder)["samples"]]
    assert len(written) == 4
    assert len(set(written)) > 1
    assert compare(project.folder).out == outcome.out


def test_the_same_thing_with_other_seeds_cannot_tell(project: Project, compare: Compare) -> None:
    runs = [train(project, "a", seed) for seed in (1, 2, 3)]
    runs += [train(project, "b", seed, "deterministic = true") for seed in (4, 5, 6)]
    outcome = compare(*runs)
    assert outcome.code == 0, outcome.err
    (row,) = (row for name, row in rows(runs[0] / "reports" / "compare").items() if name != "base")
    assert (row["name"], row["verdict"]) == ("deterministic = true", "cannot tell")
    assert not row["difference"]["paired"]
    assert "80% power" in outcome.out
    chosen = compare(*runs, "--base", "b-4")
    assert chosen.code == 0
    assert "deterministic = false" in chosen.out


def test_a_sweep_is_compared_by_its_arms(project: Project, compare: Compare) -> None:
    preset = project.preset(
        "sweep",
        'extends = "config.toml"\n[compare]\nsamples = 0\nequivalence = 10.0\n[sweep]\nseeds = [1, 2]\njobs = 1\n'
        "[sweep.arms]\nwide = { train.model.n_embd = 32 }\n"
        "bad = { train.optim.learning_rate = 1e25, train.optim.grad_clip = 0.0, train.schedule.warmup_iters = 0 }\n",
    )
    early = compare(project.folder, "--exp-config", preset)
    assert (early.code, early.err) == (2, "tiny/sweep.toml: its sweep has not begun. Run 'sweep' with it first.\n")
    project.ok("sweep", preset)
    outcome = compare(project.folder, "--exp-config", preset)
    assert outcome.code == 0, outcome.err
    folder = project.out.parent / "sweep"
    found = rows(folder)
    assert {name: row["verdict"] for name, row in found.items()} == {
        "base": "base",
        "wide": "equivalent",
        "bad": "diverged",
    }
    assert "[train.model] n_embd = 32" in found["wide"]["changes"]
    assert results(folder)["samples"] == []
    assert find([str(project.folder)], None, preset).notes == []
    text = preset.read_text()
    preset.write_text(text.replace("n_embd = 32", "n_embd = 64").replace("bad = ", "worse = "))
    (note,) = find([str(project.folder)], None, preset).notes
    assert "changed since its sweep was trained (changed: wide; new: worse; no longer there: bad)" in note
    preset.write_text(f"{text}[train.optim]\nlearning_rate = 0.1\n")
    (note,) = find([str(project.folder)], None, preset).notes
    assert "(changed: base, wide)" in note
    assert compare(folder).code == 0
    assert {name: row["losses"] for name, row in rows(folder).items()} == {
        name: row["losses"] for name, row in found.items()
    }


def test_the_longest_horizon_is_compared_and_dropped_arms_are_named(project: Project, compare: Compare) -> None:
    preset = project.preset(
        "sweep",
        'extends = "config.toml"\n[compare]\nsamples = 0\n[sweep]\nseeds = [1, 2]\njobs = 1\nhorizons = [0.5, 1.0]\n'
        "halving = 2\n[sweep.arms]\nwide = { train.model.n_embd = 32 }\nslow = { train.optim.learning_rate = 1e-9 }\n",
    )
    project.ok("sweep", preset)
    outcome = compare(project.folder, "--exp-config", preset)
    assert outcome.code == 0, outcome.err
    assert {name: row["cost"]["steps"] for name, row in rows(project.out.parent / "sweep").items()} == {
        "base": 6,
        "wide": 6,
    }
    assert "! all runs are of the horizon 1, the longest at which every arm" in outcome.out
    assert "! not compared: slow: dropped by halving after a horizon of 0.5, at " in outcome.out


def test_fine_tuned_models_are_sampled_too(qwen: Project, compare: Compare) -> None:
    qwen.ok("prepare")
    qwen.ok("train")
    train(qwen, "fast", 1, "[train.optim]", "learning_rate = 0.1")
    outcome = compare(qwen.folder)
    assert outcome.code == 0, outcome.err
    found = results(qwen.folder / "reports" / "compare")
    assert [each["group"] for each in found["samples"]] == ["base"] * 2 + ["learning_rate = 0.1"] * 2
    assert "no samples" not in outcome.out


def test_what_is_wrong_with_a_model_costs_its_samples_only(project: Project, compare: Compare) -> None:
    project.ok("train")
    fast = train(project, "fast", 1, "[train.optim]", "learning_rate = 0.1")
    best, *others = (fast / f"ckpt_{name}.pt" for name in ("best", "last", "prev"))
    best.write_bytes(b"damaged")
    assert compare(project.out, fast).code == 0
    found = results(project.out / "reports" / "compare")
    assert len(found["samples"]) == 4
    assert any(
        note.startswith("samples of learning_rate = 0.1: ") and "ckpt_best.pt" in note for note in found["notes"]
    )
    for each in others:
        each.unlink(missing_ok=True)
    assert compare(project.out, fast).code == 0
    found = results(project.out / "reports" / "compare")
    assert {each["group"] for each in found["samples"]} == {"base"}
    assert any("no intact checkpoint is left" in note for note in found["notes"])
    record = project.out / "run.json"
    record.write_text(record.read_text().replace('"top_p":', '"top_percent":'))
    outcome = compare(project.out, fast)
    assert outcome.code == 0, outcome.err
    found = results(project.out / "reports" / "compare")
    assert found["samples"] == []
    assert any("no samples" in note and "another version" in note for note in found["notes"])


def test_without_samples_it_needs_no_torch(project: Project) -> None:
    project.ok("train")
    other = train(project, "fast", 1, "[train.optim]", "learning_rate = 0.1")
    project.configure({"compare.samples": "0"})
    code = (
        "import sys\nfrom ml_playground.cli import main\n"
        f"assert main(['compare', {str(project.folder)!r}]) == 0\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert rows(project.folder / "reports" / "compare")["learning_rate = 0.1"]["runs"] == [str(other)]


def test_what_evaluate_measured_puts_other_windows_on_one_scale(project: Project, compare: Compare) -> None:
    project.ok("train")
    wide = project.preset("wide", 'extends = "config.toml"\n[train.data]\nblock_size = 16\n[evaluate]\ncontext = 8\n')
    project.ok("train", wide)
    project.configure({"compare.evaluation": '"evaluate"', "compare.samples": "0"})
    refused = compare(project.folder)
    assert refused.code == 2
    assert refused.err.count("is not measured yet: run 'evaluate' with its TOML file") == 2
    project.ok("evaluate")
    project.ok("evaluate", wide)
    outcome = compare(project.folder)
    assert outcome.code == 0, outcome.err
    assert "by 'evaluate', context 8, stride 8" in outcome.out
    assert "has block_size" not in outcome.out


def test_the_configuration_names_the_runs(project: Project, compare: Compare) -> None:
    for seed in (1, 2):
        for width in (16, 24, 32):
            train(project, f"w{width}", seed, "[train.model]", f"n_embd = {width}")
    listed = [f"tiny/out/w{width}-{seed}" for width in (32, 16) for seed in (1, 2)]
    project.configure({"compare.runs": json.dumps(listed), "compare.samples": "0", "compare.axis": '"seconds"'})
    outcome = compare(project.folder)
    assert outcome.code == 0, outcome.err
    base, other = results(project.folder / "reports" / "compare")["rows"]
    assert base["runs"] == listed[:2]
    assert other["runs"] == listed[2:]
    assert "training time, seconds" in (project.folder / "reports" / "compare" / "compare-curves.svg").read_text()


def test_mistakes_are_messages(project: Project, compare: Compare, tmp_path: Path) -> None:
    untrained = compare(project.folder)
    assert untrained.code == 2
    assert untrained.err == (
        "tiny/out/tiny is not trained yet, and the others are compared with it. Run 'train' first.\n"
    )
    project.ok("train")
    alone = compare(project.folder)
    assert alone.code == 2
    assert alone.err == "there is nothing to compare base with. Train another configuration, or a sweep.\n"
    assert "no base 'rope'. There are: base" in compare(project.folder, "--base", "rope").err
    assert "no experiment 'nothing'" in compare("nothing").err
    (tmp_path / "empty").mkdir()
    several = compare(project.out, tmp_path / "empty")
    assert several.code == 2
    assert several.err.endswith("empty: no runs in this folder\n")
    (project.out / "run.json").write_text("{}")
    damaged = compare(project.out)
    assert damaged.code == 2
    assert "run.json is damaged, or was written by another version" in damaged.err
