"""`evaluate` through the command line's own entry."""

from pathlib import Path

import pytest

from tests.integration.runs import weights
from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")


def everything_in(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_it_prints_what_training_measured_and_changes_nothing(project: Project) -> None:
    project.configure({"train.runtime.ema_decay": "0.9"})
    project.ok("train")
    before = everything_in(project.root)
    outcome = project.ok("evaluate")
    assert everything_in(project.root) == before
    rows = {row["step"]: row for row in project.metrics() if "val/loss" in row}
    expected = []
    for name in ("ckpt_best.pt", "ckpt_last.pt"):
        step = weights(project, name).progress.step
        loss, bits = rows[step]["val/loss"], rows[step]["val/bits_per_byte"]
        expected.append(f"{name}, step {step}: {loss:.4f} nats/token, {bits:.4f} bits/byte over ")
    first, last = outcome.out.splitlines()
    assert first.startswith(expected[0])
    assert last.startswith(expected[1])
    assert outcome.err == ""


def test_it_measures_as_the_configuration_says_now(project: Project) -> None:
    project.ok("train")
    project.configure({"train.runtime.eval_iters": "1"})
    assert project.ok("evaluate").out.count(" over 8 tokens\n") == 2


def test_it_says_nothing_of_steps_that_will_not_be_taken(project: Project) -> None:
    project.ok("train")
    project.configure({"train.optim.learning_rate": "0.5", "train.model.n_layer": "2"})
    outcome = project.ok("evaluate")
    assert " on, " not in outcome.out + outcome.err
    assert "ckpt_last.pt has [train.model] n_layer = 1, the configuration says 2\n" in outcome.err


def test_the_previous_checkpoint_is_taken_where_the_last_is_damaged(project: Project) -> None:
    project.ok("train")
    (project.out / "ckpt_last.pt").write_bytes(b"x")
    before = everything_in(project.out)
    outcome = project.ok("evaluate")
    assert "ckpt_last.pt: damaged" in outcome.err
    assert "ckpt_prev.pt, step 4: " in outcome.out
    assert everything_in(project.out) == before


def test_a_checkpoint_is_needed(project: Project) -> None:
    outcome = project.run("evaluate")
    assert outcome.code == 2
    expected = "tiny/out/tiny: no checkpoint (ckpt_best.pt, ckpt_last.pt or ckpt.pt). Run 'train' first.\n"
    assert outcome.err == project.run("sample").err == expected
    assert not project.out.exists()
    project.ok("train")
    for name in ("ckpt_best.pt", "ckpt_last.pt", "ckpt_prev.pt"):
        (project.out / name).write_bytes(b"x")
    outcome = project.run("evaluate")
    assert outcome.code == 2
    assert [line.split(": ")[0].rpartition("/")[2] for line in outcome.err.splitlines()] == [
        "ckpt_best.pt",
        "ckpt_last.pt",
        "ckpt_prev.pt",
        "tiny",
    ]
    project.configure({"train.runtime.out_dir": '"tiny/out/other"'})
    assert "Or set [train.runtime] out_dir to an existing run: tiny/out/tiny" in project.run("evaluate").err


def test_data_and_context_must_be_those_of_the_run(project: Project) -> None:
    project.ok("train")
    project.configure({"train.data.block_size": "16"})
    refused = project.run("evaluate")
    assert refused.code == 2
    assert "block_size = 16 is beyond the model in ckpt_best.pt, whose block_size is 8." in refused.err
    project.configure({"train.data.block_size": "8", "prepare.split.val_fraction": "0.3"})
    project.ok("prepare")
    assert "was trained on different data than is prepared now" in project.run("evaluate").err


def test_an_option_of_before_leads_to_the_command(project: Project) -> None:
    project.configure({"train.runtime.eval_only": "true"})
    assert "[train.runtime] eval_only: unknown key (here it is the command `evaluate`)" in project.run("train").err


def test_a_run_of_another_file_is_named(project: Project) -> None:
    project.preset("other", 'extends = "config.toml"')
    wide = project.preset("wide", 'extends = "config.toml"')
    project.ok("train", wide)
    (project.out.parent / "wide").rename(project.out.parent / "other")
    outcome = project.ok("evaluate", project.folder / "other.toml")
    assert outcome.err == "! tiny/out/other was trained with tiny/wide.toml, another TOML file\n"
    assert "ckpt_last.pt, step 6: " in outcome.out
