"""The trainer through the command line's own entry, on a tiny model and text."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ml_playground.checkpoint import Checkpoint, load
from ml_playground.data.batches import Batch, Batches
from ml_playground.telemetry import Telemetry
from ml_playground.training.trainer import IGNORED, Trainer
from tests.project import TEXT, Outcome, Project


@pytest.fixture(autouse=True)
def prepared(project: Project) -> None:
    project.ok("prepare")


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Have something happen when optimiser step number N (from 0) begins."""

    def arrange(step: int, event: Callable[[], None]) -> None:
        original = Trainer._step  # pyright: ignore[reportPrivateUsage] -- the seam between two steps

        def with_event(self: Trainer, telemetry: Telemetry) -> None:
            if self.progress.step == step:
                event()
            original(self, telemetry)

        monkeypatch.setattr(Trainer, "_step", with_event)

    return arrange


class Killed(BaseException):
    """Ends a training where it stands, with no chance to save."""


def kill() -> None:
    raise Killed


def weights(project: Project, name: str = "ckpt_last.pt") -> Checkpoint:
    return load(project.out / name)


def assert_same_bits(one: object, other: object) -> None:
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            assert_same_bits(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        for left, right in zip(one, other, strict=True):
            assert_same_bits(left, right)
    else:
        assert one == other


def assert_same_state(one: Checkpoint, other: Checkpoint) -> None:
    assert_same_bits(
        [one.model, one.ema, one.optimizer, one.scaler, one.progress | {"seconds": 0}],
        [other.model, other.ema, other.optimizer, other.scaler, other.progress | {"seconds": 0}],
    )


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if "tokens_per_sec" not in key and "time" not in key} for row in rows
    ]


VARIANTS = {
    "plain": {},
    "dropout": {"train.model.dropout": "0.5"},
    "ema": {"train.runtime.ema_decay": "0.9"},
    "epochs": {"train.data.sampler": '"epoch"', "train.data.batch_size": "16"},
    "in order": {"train.data.sampler": '"sequential"'},
    "accumulation": {"train.data.grad_accum_steps": "3"},
    "bfloat16": {"train.runtime.dtype": '"bfloat16"'},
    "float16": {"train.runtime.dtype": '"float16"'},
    "early stopping": {"train.runtime.early_stop_patience": "1", "train.optim.learning_rate": "0.5"},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("step", [0, 1, 4, 5])
def test_a_step_is_a_pure_function_of_state_and_step(
    project: Project,
    at_step: Callable[[int, Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    step: int,
) -> None:
    """A run killed before any step and taken up again ends as a run that was never killed, to the bit."""
    project.configure(changes)
    project.ok("train")
    uninterrupted, rows = weights(project), project.metrics()
    shutil.rmtree(project.out)

    at_step(step, kill)
    stopped_before_it = uninterrupted.progress["step"] <= step
    if not stopped_before_it:
        with pytest.raises(Killed):
            project.run("train")
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    torch.manual_seed(99)  # whatever happened in between
    project.ok("train")
    assert_same_state(weights(project), uninterrupted)
    assert without_times(project.metrics()) == without_times(rows)


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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    project: Project, at_step: Callable[[int, Callable[[], None]], None], signum: signal.Signals
) -> None:
    at_step(2, lambda: os.kill(os.getpid(), signum))
    stopped = project.run("train")
    assert stopped.code == 128 + signum
    assert stopped.err == f"stopped by {signum.name}; the same command goes on from here\n"
    assert weights(project).progress["step"] == 3
    assert json.loads((project.out / "summary.json").read_text())["finished"] is False


def test_a_signal_during_evaluation_does_not_wait_for_its_end(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.ok("train")
    uninterrupted = weights(project)
    shutil.rmtree(project.out)
    monkeypatch.setattr("ml_playground.evaluation._TOKENS_AT_ONCE", 1)
    calls = iter(range(100))
    original = torch.Tensor.double

    def interrupt(self: torch.Tensor) -> torch.Tensor:
        if next(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    monkeypatch.setattr(torch.Tensor, "double", interrupt)
    assert project.run("train").code == 130
    assert weights(project).progress["evaluated_at"] == -1
    assert json.loads((project.out / "summary.json").read_text())["best_val_loss"] is None
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    project.ok("train")
    assert_same_state(weights(project), uninterrupted)


def test_a_finished_run_stays_finished_and_more_steps_go_on_from_it(project: Project) -> None:
    project.configure({"train.schedule.decay_lr": "false"})
    project.ok("train")
    finished = weights(project)
    again = project.ok("train")
    assert "going on from step 6" in again.out
    assert_same_state(weights(project), finished)
    project.configure({"train.runtime.max_iters": "8"})
    project.ok("train")
    longer = weights(project)
    assert longer.progress["step"] == 8
    shutil.rmtree(project.out)
    project.ok("train")
    assert_same_state(weights(project), longer)


def test_the_checkpoints_model_arguments_win_and_each_difference_is_told(project: Project) -> None:
    project.ok("train")
    project.configure(
        {
            "train.model.n_layer": "2",
            "train.model.dropout": "0.1",
            "train.optim.weight_decay": "0.2",
            "train.runtime.max_iters": "7",
        }
    )
    said = project.ok("train").out
    assert "[train.model] n_layer = 1 as in ckpt_last.pt, not 2\n" in said
    assert "[train.model] dropout = 0.0 as in ckpt_last.pt, not 0.1\n" in said
    assert "[train.optim] weight_decay = 0.2 from step 6 on, 0.1 before\n" in said
    assert "[train.runtime] max_iters = 7 from step 6 on, 6 before\n" in said
    resumed = weights(project)
    assert resumed.origin.model_args["n_layer"] == resumed.origin.config["train"]["model"]["n_layer"] == 1
    assert resumed.optimizer["param_groups"][0]["weight_decay"] == 0.2


def test_deleting_the_last_checkpoint_starts_afresh(project: Project) -> None:
    project.ok("train")
    first, best = weights(project), (project.out / "ckpt_best.pt").read_bytes()
    (project.out / "ckpt_last.pt").unlink()
    said = project.ok("train").out
    assert "from nothing" in said
    assert "ckpt_best.pt of an earlier run stays until this run has a better one" in said
    assert_same_state(weights(project), first)
    assert (project.out / "ckpt_best.pt").read_bytes() == best  # not better, so untouched
    assert (project.out / "metrics-1.jsonl").exists()


def test_ckpt_best_never_gets_worse(project: Project) -> None:
    project.configure(
        {"train.runtime.eval_interval": "1", "train.optim.learning_rate": "1.0", "train.runtime.max_iters": "12"}
    )
    project.ok("train")
    losses = {row["step"]: row["val/loss"] for row in project.metrics() if "val/loss" in row}
    assert losses[12] > min(losses.values()), "the run must get worse for the test to mean anything"
    best = weights(project, "ckpt_best.pt")
    assert best.progress["val_loss"] == min(losses.values())
    assert losses[best.progress["step"]] == min(losses.values())
    assert weights(project).progress["best_val_loss"] == min(losses.values())


def test_ckpt_last_is_saved_on_the_time_interval(
    project: Project, at_step: Callable[[int, Callable[[], None]], None]
) -> None:
    project.configure({"train.runtime.eval_interval": "100", "train.runtime.ckpt_time_interval_minutes": "1e-9"})
    at_step(3, kill)
    with pytest.raises(Killed):
        project.run("train")
    assert weights(project).progress["step"] == 3
    assert weights(project).progress["evaluated_at"] == 0


def test_every_evaluation_keeps_its_own_checkpoint_up_to_a_number(project: Project) -> None:
    project.configure({"train.runtime.always_save_checkpoint": "true", "train.runtime.keep_last_n": "2"})
    project.ok("train")
    assert sorted(path.name for path in project.out.glob("ckpt_0*")) == ["ckpt_00000004.pt", "ckpt_00000006.pt"]
    assert_same_state(weights(project, "ckpt_00000006.pt"), weights(project))


def test_early_stopping_ends_training_and_stays(project: Project) -> None:
    project.configure(VARIANTS["early stopping"] | {"train.schedule.warmup_iters": "0"})
    assert "stopped early: 1 evaluations without improvement" in project.ok("train").out
    stopped = weights(project).progress
    assert stopped["evals_since_best"] == 1
    assert stopped["step"] < 6
    project.ok("train")
    assert weights(project).progress["step"] == stopped["step"]


def test_evaluation_only_changes_nothing(project: Project) -> None:
    project.configure({"train.runtime.ema_decay": "0.9"})
    project.ok("train")
    before = {path: path.read_bytes() for path in project.out.rglob("*") if path.is_file()}
    project.configure({"train.runtime.eval_only": "true"})
    said = project.ok("train").out
    assert {path: path.read_bytes() for path in project.out.rglob("*") if path.is_file()} == before
    assert f"{weights(project).progress['val_loss']:.4f} nats/token" in said


@pytest.mark.parametrize("where", ["loss", "gradient", "validation"])
def test_a_loss_that_is_not_finite_stops_at_once_and_keeps_the_last_good_checkpoint(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: Callable[[int, Callable[[], None]], None], where: str
) -> None:
    at_step(3, lambda: spoil(monkeypatch, where))
    outcome = project.run("train")
    assert outcome.code == 2
    assert {
        "loss": "step 4: the loss is nan (batch 3, windows from tokens ",
        "gradient": "step 4: a gradient is not finite (batch 3, windows from tokens ",
        "validation": "step 4: the validation loss is nan.",
    }[where] in outcome.err
    assert "Nothing was saved since the last good checkpoint" in outcome.err
    assert weights(project).progress["step"] == 2
    assert all(values.isfinite().all() for values in weights(project).model.values())


def spoil(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    from torch.nn import functional

    original, clip = functional.cross_entropy, torch.nn.utils.clip_grad_norm_

    def bad_loss(*args: Any, **options: Any) -> torch.Tensor:
        return original(*args, **options) * (
            float("nan") if (options["reduction"] == "none") == (where == "validation") else 1
        )

    def bad_norm(*args: Any, **options: Any) -> torch.Tensor:
        return clip(*args, **options) * float("inf")

    if where == "gradient":
        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", bad_norm)
    else:
        monkeypatch.setattr(functional, "cross_entropy", bad_loss)


def test_a_learning_rate_far_too_high_is_told_by_name(project: Project) -> None:
    project.configure({"train.optim.learning_rate": "1e30", "train.schedule.warmup_iters": "0"})
    outcome = project.run("train")
    assert outcome.code == 2
    assert "such as a lower [train.optim] learning_rate" in outcome.err


def test_the_run_directory_explains_the_run(project: Project) -> None:
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
    assert {"torch", "python", "numpy", "ml_playground"} == info["versions"].keys()
    summary = json.loads((project.out / "summary.json").read_text())
    assert summary["finished"] is True
    assert summary["step"] == 7
    assert json.loads((project.out / "tokenizer" / "tokenizer.json").read_text())["characters"] == sorted(set(TEXT))
    assert list((project.out / "logs" / "tb").iterdir())
    for path in project.out.rglob("*.json"):
        assert str(project.root) not in path.read_text()


def test_data_that_changed_under_a_run_is_refused(project: Project) -> None:
    project.ok("train")
    before = (project.out / "ckpt_last.pt").read_bytes()
    project.text.write_text(TEXT + "more of it\n")
    project.ok("prepare")
    outcome = project.run("train")
    assert outcome.code == 2
    assert "ckpt_last.pt was trained on other data than is prepared now" in outcome.err
    assert (project.out / "ckpt_last.pt").read_bytes() == before


def test_batches_longer_than_the_checkpoints_context_are_refused(project: Project) -> None:
    project.ok("train")
    project.configure({"train.data.block_size": "9"})
    outcome = project.run("train")
    assert outcome.code == 2
    assert "block_size = 9 is beyond the model in ckpt_last.pt, whose block_size is 8" in outcome.err


def test_an_average_can_be_switched_on_later(project: Project) -> None:
    project.ok("train")
    first = weights(project)
    project.configure(
        {"train.runtime.ema_decay": "0.99", "train.runtime.max_iters": "7", "train.optim.learning_rate": "1e-9"}
    )
    project.ok("train")
    ema = weights(project).ema
    assert ema is not None
    for name, values in first.model.items():
        torch.testing.assert_close(ema[name], values, atol=1e-6, rtol=0)


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
