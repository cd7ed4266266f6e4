"""The trainer through the command line's own entry, on a tiny model and text."""

import json
import shutil
from typing import Any

import pytest
import torch

from ml_playground.data.batches import IGNORED, Batch, Batches
from ml_playground.run.checkpoint import Checkpoint
from ml_playground.run.records import MetricRow
from ml_playground.run.store import CheckpointStore
from tests.integration.runs import (
    AtStep,
    Killed,
    assert_same_bits,
    assert_same_state,
    kill,
    weights,
)
from tests.project import TEXT, Outcome, Project
from tests.sink_plugin import CSV

pytestmark = pytest.mark.usefixtures("prepared")


@pytest.mark.parametrize("changes", [{}, {"train.model.dropout": "0.5"}, {"train.runtime.ema_decay": "0.9"}])
def test_evaluation_never_disturbs_training(project: Project, changes: dict[str, str]) -> None:
    project.configure(changes | {"train.runtime.eval_interval": "1"})
    project.ok("train")
    often = weights(project)
    shutil.rmtree(project.out)
    project.configure({"train.runtime.eval_interval": "6"})
    project.ok("train")
    assert_same_bits([often.model, often.ema, often.optimizer], [
        weights(project).model, weights(project).ema, weights(project).optimizer])  # fmt: skip


def test_one_batch_of_eight_is_eight_batches_of_one(project: Project) -> None:
    project.configure({"train.data.batch_size": "8"})
    project.ok("train")
    whole = weights(project)
    shutil.rmtree(project.out)
    project.configure({"train.data.batch_size": "1", "train.data.grad_accum_steps": "8"})
    project.ok("train")
    for name, values in weights(project).model.items():
        torch.testing.assert_close(values, whole.model[name], atol=2e-5, rtol=0)


def test_accumulated_losses_are_weighted_by_their_tokens(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """With unequal numbers of targets per batch, the mean of means would be another loss."""
    plain = Batches.__call__

    def with_gaps(self: Batches, step: int) -> list[Batch]:
        batches = plain(self, step)
        targets = torch.cat([batch.targets for batch in batches]).clone()
        targets[0, 1:] = targets[3, 4:] = IGNORED
        return [
            Batch(batch.inputs, part)
            for batch, part in zip(batches, targets.view(len(batches), -1, targets.shape[1]).unbind(), strict=True)
        ]

    monkeypatch.setattr(Batches, "__call__", with_gaps)
    project.configure({"train.data.batch_size": "4"})
    project.ok("train")
    whole, rows = weights(project), project.metrics()
    shutil.rmtree(project.out)
    project.configure({"train.data.batch_size": "1", "train.data.grad_accum_steps": "4"})
    project.ok("train")
    for name, values in weights(project).model.items():
        torch.testing.assert_close(values, whole.model[name], atol=2e-5, rtol=0)
    for one, other in zip(rows, project.metrics(), strict=True):
        assert one.get("train/loss") == pytest.approx(other.get("train/loss"), abs=1e-5)


def test_training_learns(project: Project) -> None:
    project.configure(
        {"train.runtime.max_iters": "150", "train.runtime.eval_interval": "50", "train.optim.learning_rate": "1e-2"}
    )
    project.ok("train")
    losses = [row["val/loss"] for row in project.metrics() if "val/loss" in row]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


def test_the_first_steps_are_pinned(project: Project) -> None:
    """A change that is meant to change nothing leaves these numbers; only a change of the mathematics may move them."""
    project.ok("train")
    losses = [row["train/loss"] for row in project.metrics() if "train/loss" in row]
    assert losses == pytest.approx([3.0962, 3.0973, 3.0725, 3.0683, 3.0112, 3.0468], abs=2e-3)


def test_ckpt_best_never_gets_worse(project: Project) -> None:
    project.configure(
        {"train.runtime.eval_interval": "1", "train.optim.learning_rate": "1.0", "train.runtime.max_iters": "12"}
    )
    project.ok("train")
    losses = {row["step"]: row["val/loss"] for row in project.metrics() if "val/loss" in row}
    assert losses[12] > min(losses.values()), "the run must get worse for the test to mean anything"
    best = weights(project, "ckpt_best.pt")
    assert best.progress.val_loss == min(losses.values())
    assert losses[best.progress.step] == min(losses.values())
    assert weights(project).progress.best_val_loss == min(losses.values())


def test_ckpt_last_is_saved_on_the_time_interval(project: Project, at_step: AtStep) -> None:
    project.configure({"train.runtime.eval_interval": "100", "train.runtime.ckpt_time_interval_minutes": "1e-9"})
    at_step(3, kill)
    with pytest.raises(Killed):
        project.run("train")
    assert weights(project).progress.step == 3
    assert weights(project).progress.evaluated_at == 0


def test_every_evaluation_keeps_its_own_checkpoint_up_to_a_number(project: Project) -> None:
    project.configure({"train.runtime.always_save_checkpoint": "true", "train.runtime.keep_last_n": "2"})
    project.ok("train")
    assert sorted(path.name for path in project.out.glob("ckpt_0*")) == ["ckpt_00000004.pt", "ckpt_00000006.pt"]
    assert_same_state(weights(project, "ckpt_00000006.pt"), weights(project))


def test_early_stopping_ends_training_and_stays(project: Project) -> None:
    project.configure(
        {
            "train.runtime.early_stop_patience": "1",
            "train.optim.learning_rate": "0.5",
            "train.schedule.warmup_iters": "0",
        }
    )
    assert "stopped early: 1 evaluations without improvement" in project.ok("train").out
    stopped = weights(project).progress
    assert stopped.evals_since_best == 1
    assert stopped.step < 6
    project.ok("train")
    assert weights(project).progress.step == stopped.step


def test_the_resolved_config_is_the_run(project: Project) -> None:
    project.ok("train")
    project.configure({"train.runtime.max_iters": "7"})
    project.ok("train")
    info = json.loads((project.out / "run.json").read_text())
    assert info["config"]["train"]["runtime"]["max_iters"] == 7
    assert info["config"]["train"]["optim"]["beta2"] == 0.99  # a default, written whole
    assert info["config"]["train"]["runtime"]["out_dir"] == "tiny/out/tiny"
    assert [start["step"] for start in info["starts"]] == [0, 6]
    assert info["data"] == weights(project).origin.data
    assert info["parameters"] == sum(
        values.numel() for name, values in weights(project).model.items() if name != "lm_head.weight"
    )
    assert {"torch", "python", "numpy", "ml_playground", "transformers", "peft"} == info["versions"].keys()
    summary = json.loads((project.out / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["step"] == 7
    assert json.loads((project.out / "tokenizer" / "tokenizer.json").read_text())["characters"] == sorted(set(TEXT))
    assert list((project.out / "logs" / "tb").iterdir())
    for path in project.out.rglob("*.json"):
        assert str(project.root) not in path.read_text()


@pytest.mark.filterwarnings("ignore")  # torch gives several of its own while it compiles
@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler")
def test_a_compiled_model_trains_to_the_same_numbers(project: Project) -> None:
    project.configure({"train.runtime.max_iters": "2"})
    project.ok("train")
    plain = weights(project)
    shutil.rmtree(project.out)
    project.configure({"train.runtime.compile": "true"})
    project.ok("train")
    compiled = weights(project)
    assert compiled.model.keys() == plain.model.keys()
    for name, values in compiled.model.items():
        torch.testing.assert_close(values, plain.model[name], atol=2e-5, rtol=0)


def test_compiling_without_a_compiler_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project.root))
    project.configure({"train.runtime.compile": "true"})
    outcome: Outcome = project.run("train")
    assert outcome.code == 2
    assert "compile = true: PyTorch needs a C++ compiler" in outcome.err


def test_each_step_drops_other_activations(project: Project) -> None:
    """The same windows at every step, and weights that stand still: only dropout can make the losses differ."""
    project.text.write_text(TEXT[:38])
    project.ok("prepare")
    still = {"train.data.sampler": '"sequential"', "train.optim.learning_rate": "1e-30"}
    losses: dict[str, set[float]] = {}
    for dropout in ("0.0", "0.5"):
        project.configure(still | {"train.model.dropout": dropout})
        project.ok("train")
        losses[dropout] = {row["train/loss"] for row in project.metrics() if "train/loss" in row}
        shutil.rmtree(project.out)
    assert len(losses["0.0"]) == 1
    assert len(losses["0.5"]) == 6


def test_another_number_format_computes_other_numbers(project: Project) -> None:
    losses: dict[str, float] = {}
    for dtype in ("float32", "bfloat16", "float16"):
        project.configure({"train.runtime.dtype": f'"{dtype}"', "train.runtime.max_iters": "2"})
        project.ok("train")
        losses[dtype] = project.metrics()[-1]["val/loss"]
        shutil.rmtree(project.out)
    assert len(set(losses.values())) == 3
    assert list(losses.values()) == pytest.approx([losses["float32"]] * 3, rel=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_optimiser_gets_gradients_clipped_to_their_norm(
    project: Project, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    norms: list[float] = []
    original = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *args: Any, **options: Any) -> None:
        gradients = [each.grad for group in self.param_groups for each in group["params"]]
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        original(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    project.configure({"train.optim.grad_clip": "1e-3", "train.runtime.dtype": f'"{dtype}"'})
    project.ok("train")
    assert norms == pytest.approx([1e-3] * 6, rel=1e-2)


def test_only_the_first_windows_are_evaluated_where_that_is_asked_for(project: Project) -> None:
    project.ok("train")
    whole = weights(project).progress.val_loss
    shutil.rmtree(project.out)
    project.configure({"train.runtime.eval_iters": "1"})
    project.ok("train")
    assert weights(project).progress.val_loss != whole


def test_the_time_interval_counts_from_the_last_save(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 25))  # seconds; one reading per step
    monkeypatch.setattr("ml_playground.training.trainer.time.monotonic", lambda: float(next(clock)))
    saved: list[int] = []

    def count(_self: CheckpointStore, checkpoint: Checkpoint, **_: object) -> None:
        saved.append(checkpoint.progress.step)

    monkeypatch.setattr(CheckpointStore, "save", count)
    project.configure(
        {
            "train.runtime.eval_interval": "100",
            "train.runtime.max_iters": "20",
            "train.runtime.ckpt_time_interval_minutes": "1",
        }
    )
    project.ok("train")
    assert 4 <= len(saved) <= 8, saved


def test_a_run_that_is_worse_than_an_earlier_one_says_whose_the_best_is(project: Project) -> None:
    project.ok("train")
    (project.out / "ckpt_last.pt").unlink()
    project.configure({"train.runtime.max_iters": "3"})
    assert "ckpt_best.pt, which sample uses, is from an earlier run and better" in project.ok("train").out


def test_a_prompt_outside_the_vocabulary_is_told_before_the_training(project: Project) -> None:
    project.configure({"sample.sample.start": '"X"'})
    assert project.run("loop").code == 2
    assert not project.out.exists()


def test_a_users_file_brings_a_sink_and_what_is_not_chosen_is_not_written(project: Project) -> None:
    (project.root / "csv_sink.py").write_text(CSV)
    project.config.write_text('plugins = ["csv_sink.py"]\n' + project.config.read_text())
    project.configure({"train.runtime.sinks": '["jsonl", {kind = "csv", file = "table.csv"}]'})
    printed = project.ok("train").out
    assert "validation:" not in printed
    assert not (project.out / "logs").exists()
    lines = [line.split(",") for line in (project.root / "table.csv").read_text().splitlines()]
    rows = [(row["step"], name, value) for row in project.metrics() for name, value in row.items() if name != "step"]
    assert [(int(step), name, float(value)) for step, name, value in lines] == rows


def test_rows_say_how_far_the_run_was(project: Project) -> None:
    project.ok("train")
    rows = [MetricRow.from_json(row) for row in project.metrics()]
    progress = weights(project).progress
    assert [row.tokens for row in rows] == [32 * row.step for row in rows]
    assert [row.seconds for row in rows] == sorted(row.seconds for row in rows)
    per_token = rows[-1].flops // rows[-1].tokens
    assert per_token > 6 * 16 * 16
    assert [row.flops for row in rows] == [per_token * row.tokens for row in rows]
    assert {name for row in rows for name in row.values} == {
        *("train/loss", "train/lr", "train/tokens_per_sec", "train/step_time_ms", "train/grad_norm"),
        *("val/loss", "val/bits_per_byte", "val/accuracy"),
    }
    assert (rows[-1].tokens, rows[-1].flops) == (progress.tokens, progress.flops)
    assert 0 < rows[-1].seconds <= progress.seconds


def test_a_finished_training_draws_its_losses(project: Project) -> None:
    project.ok("prepare")
    project.ok("train")
    picture = (project.out / "reports" / "loss.svg").read_text()
    best = min(row["val/loss"] for row in project.metrics() if "val/loss" in row)
    assert f"best validation loss {best:.4f}" in picture


def test_a_picture_that_cannot_be_written_fails_no_training(project: Project) -> None:
    project.ok("prepare")
    project.out.mkdir(parents=True)
    (project.out / "reports").write_text("in the way")
    told = project.ok("train")
    assert "reports" in told.err
    assert "6 of 6 steps done" in told.out
