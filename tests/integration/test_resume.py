"""Going on from a checkpoint: to the bit where nothing changed, and told where something did."""

import json
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from ml_playground.run.checkpoint import save
from ml_playground.run.store import CheckpointStore
from ml_playground.training.trainer import Trainer
from tests.integration.runs import (
    AtStep,
    Killed,
    assert_same_state,
    kill,
    weights,
    without_times,
)
from tests.project import TEXT, Project

pytestmark = pytest.mark.usefixtures("prepared")


VARIANTS = {
    "plain": {},
    "dropout": {"train.model.dropout": "0.5"},
    "ema": {"train.runtime.ema_decay": "0.9"},
    "epochs": {"train.data.sampler": '"epoch"', "train.data.batch_size": "16"},
    "in order": {"train.data.sampler": '"sequential"'},
    "accumulation": {"train.data.grad_accum_steps": "3"},
    "bfloat16": {"train.runtime.dtype": '"bfloat16"'},
    "float16": {"train.runtime.dtype": '"float16"'},
    **{kind: {"train.optim.kind": f'"{kind}"'} for kind in ("muon", "adam", "adagrad", "sgd", "rmsprop")},
    "modern": {"train.model.kind": '"modern"', "train.optim.kind": '"muon"'},
    "early stopping": {"train.runtime.early_stop_patience": "1", "train.optim.learning_rate": "0.5"},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("step", [0, 1, 4, 5])
def test_a_step_is_a_pure_function_of_state_and_step(
    project: Project,
    at_step: AtStep,
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
    stopped_before_it = uninterrupted.progress.step <= step
    if not stopped_before_it:
        with pytest.raises(Killed):
            project.run("train")
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    torch.manual_seed(99)  # whatever happened in between
    project.ok("train")
    assert_same_state(weights(project), uninterrupted)
    assert without_times(project.metrics()) == without_times(rows)


def test_a_finished_run_stays_finished_and_more_steps_go_on_from_it(project: Project) -> None:
    project.configure({"train.schedule.kind": '"constant"'})
    project.ok("train")
    finished = weights(project)
    again = project.ok("train")
    assert "resuming from step 6" in again.out
    assert_same_state(weights(project), finished)
    project.configure({"train.runtime.max_iters": "8"})
    project.ok("train")
    longer = weights(project)
    assert longer.progress.step == 8
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
    assert "[train.model] n_layer = 1 from ckpt_last.pt (the configuration says 2)\n" in said
    assert "[train.model] dropout = 0.0 from ckpt_last.pt (the configuration says 0.1)\n" in said
    assert "To use the new values, delete ckpt_last.pt, or put them in another TOML file" in said
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
    assert "from scratch" in said
    assert "keeping ckpt_best.pt of an earlier run until this run has a better one" in said
    assert_same_state(weights(project), first)
    assert (project.out / "ckpt_best.pt").read_bytes() == best  # not better, so untouched
    assert (project.out / "metrics-1.jsonl").exists()


def test_data_that_changed_under_a_run_is_refused(project: Project) -> None:
    project.ok("train")
    before = (project.out / "ckpt_last.pt").read_bytes()
    project.text.write_text(TEXT + "more of it\n")
    project.ok("prepare")
    outcome = project.run("train")
    assert outcome.code == 2
    assert "ckpt_last.pt was trained on different data than is prepared now" in outcome.err
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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    project: Project, at_step: AtStep, signum: signal.Signals
) -> None:
    at_step(2, lambda: os.kill(os.getpid(), signum))
    stopped = project.run("train")
    assert stopped.code == 128 + signum
    assert stopped.err == f"stopped by {signum.name}; the same command resumes from here\n"
    assert weights(project).progress.step == 3
    assert json.loads((project.out / "summary.json").read_text())["status"] == "stopped"


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
    assert weights(project).progress.evaluated_at == -1
    assert json.loads((project.out / "summary.json").read_text())["best_val_loss"] is None
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    project.ok("train")
    assert_same_state(weights(project), uninterrupted)


@pytest.mark.parametrize(("before", "now"), [("float32", "float16"), ("float16", "float32"), ("bfloat16", "float16")])
def test_the_number_format_can_change(project: Project, before: str, now: str) -> None:
    project.configure({"train.runtime.dtype": f'"{before}"'})
    project.ok("train")
    project.configure({"train.runtime.dtype": f'"{now}"', "train.runtime.max_iters": "8"})
    project.ok("train")
    assert weights(project).progress.step == 8


def test_the_best_loss_is_measured_anew_where_validation_has_changed(project: Project) -> None:
    """The first window alone may be easier than the whole; its loss must not stand in the way of better models."""
    project.configure({"train.runtime.eval_iters": "1"})
    project.ok("train")
    project.configure({"train.runtime.eval_iters": "0", "train.runtime.max_iters": "9"})
    said = project.ok("train").out
    assert "ckpt_best.pt re-evaluated under the current settings: " in said
    last, rows = weights(project).progress, project.metrics()
    whole = [row["val/loss"] for row in rows if "val/loss" in row and row["step"] > 6]
    assert last.best_val_loss == min(whole)
    assert weights(project, "ckpt_best.pt").progress.val_loss == min(whole)


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"train.runtime.dtype": '"bfloat16"'}, True),
        ({"train.runtime.ema_decay": "0.5"}, True),
        ({"train.runtime.log_interval": "2"}, False),
    ],
)
def test_losses_are_compared_with_those_of_the_same_measure_only(
    project: Project, changes: dict[str, str], again: bool
) -> None:
    """A loss in another number format, or of averaged weights, is not what later ones have to beat."""
    project.ok("train")
    project.configure({**changes, "train.runtime.max_iters": "7"})
    said = project.ok("train").out
    assert ("ckpt_best.pt re-evaluated under the current settings: " in said) == again


def test_an_evaluation_that_is_repeated_is_recorded_once(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_step: AtStep
) -> None:
    """Stopped during the evaluation after step 2, then killed behind it but before it is saved."""
    at_step(1, lambda: monkeypatch.setattr(Trainer, "evaluate", interrupted))
    assert project.run("train").code == 130
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(CheckpointStore, "save", lambda *_, **__: kill())
    with pytest.raises(Killed):
        project.run("train")
    monkeypatch.undo()
    monkeypatch.chdir(project.root)
    project.ok("train")
    assert [row["step"] for row in project.metrics() if "val/loss" in row] == [0, 2, 4, 6]


def interrupted(_self: Trainer, **_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("before", "now"), [("adamw", "muon"), ("muon", "adamw"), ("adam", "rmsprop"), ("sgd", "adam")]
)
def test_the_optimiser_can_change(project: Project, before: str, now: str) -> None:
    project.configure({"train.optim.kind": f'"{before}"'})
    project.ok("train")
    project.configure({"train.optim.kind": f'"{now}"', "train.runtime.max_iters": "8"})
    assert f'[train.optim] kind = "{now}" from step 6 on, "{before}" before\n' in project.ok("train").out
    assert weights(project).progress.step == 8


def test_weights_that_do_not_fit_their_model_are_told(project: Project) -> None:
    project.ok("train")
    checkpoint = weights(project)
    save(project.out / "ckpt_last.pt", replace(checkpoint, model={}))
    assert "do not fit its model arguments" in project.run("train").err


def test_an_emptied_run_json_is_written_anew(project: Project) -> None:
    project.ok("train")
    (project.out / "run.json").write_text("")
    project.ok("train")
    assert len(json.loads((project.out / "run.json").read_text())["starts"]) == 1


OWN_PARTS = '''
import torch

from ml_playground.config.registries import NORMS, OPTIMIZERS, SCHEDULES
from ml_playground.config.sections import NormConfig, OptimConfig, ScheduleConfig


@OPTIMIZERS.register("plain")
class Plain(OptimConfig):
    """Plain gradient descent."""

    def build(self, groups):
        return torch.optim.SGD(groups)


@SCHEDULES.register("halved")
class Halved(ScheduleConfig):
    """Half of the rate."""

    def after_warmup(self, step, peak):
        return peak / 2


@NORMS.register("whole")
class Whole(NormConfig):
    """Divides by the norm of all values."""

    def build(self, width, model):
        return torch.nn.LayerNorm(width)
'''


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ({"train.optim.kind": '"plain"'}, "optimizers.plain"),
        ({"train.schedule.kind": '"halved"'}, "schedules.halved"),
        ({"train.model.norm": '"whole"'}, "norms.whole"),
    ],
)
def test_a_part_whose_file_has_changed_is_reported_and_recorded(
    project: Project, option: dict[str, str], part: str
) -> None:
    (project.root / "parts.py").write_text(OWN_PARTS)
    project.config.write_text('plugins = ["parts.py"]\n' + project.config.read_text())
    project.configure({**option, "train.runtime.max_iters": "2"})
    project.ok("train")
    project.configure({"train.runtime.max_iters": "4"})
    assert "has changed since" not in project.ok("train").out
    (project.root / "parts.py").write_text(f"{OWN_PARTS}\n# another one\n")
    project.configure({"train.runtime.max_iters": "6"})
    expected = f"the code of {part} has changed since ckpt_last.pt; the new code is used from step 4 on"
    assert expected in project.ok("train").out
    *_, unchanged, last = json.loads((project.out / "run.json").read_text())["starts"]
    key = f"[versions] code of {part}"
    assert key not in [each["key"] for each in unchanged["changed"]]
    (change,) = [each for each in last["changed"] if each["key"] == key]
    assert None not in (change["before"], change["now"])
    assert change["before"] != change["now"]
    assert "has changed since" not in project.ok("train").out
