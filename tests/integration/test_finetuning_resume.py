"""A fine-tuning that was stopped goes on from where it was, or says why it cannot."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from ml_playground.run.checkpoint import Checkpoint, load
from ml_playground.run.directory import RunDirectory
from ml_playground.run.store import CheckpointStore
from tests.integration.finetuning import our_logits, some_ids, spec
from tests.integration.runs import AtStep, Killed, assert_same_state, kill, trained_with_a_kill, weights
from tests.project import Project

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::FutureWarning:peft")


VARIANTS = {
    "average and muon": {"train.runtime.ema_decay": "0.9", "train.optim.kind": '"muon"'},
    "bfloat16": {"train.runtime.dtype": '"bfloat16"'},
    "float16": {"train.runtime.dtype": '"float16"'},
    "dora": {"train.peft.use_dora": "true"},
}


def test_recomputing_inner_values_changes_no_bit(qwen: Project) -> None:
    qwen.ok("prepare")
    qwen.ok("train")
    qwen.out.rename(qwen.root / "whole")
    qwen.configure({"train.hf_model.gradient_checkpointing": "true"})
    qwen.ok("train")
    assert_same_state(weights(qwen), load(qwen.root / "whole" / "ckpt_last.pt"))


def test_a_resumed_run_keeps_its_adapters_shape_and_says_so(qwen: Project) -> None:
    qwen.configure({"train.runtime.max_iters": "2"})
    qwen.ok("prepare")
    qwen.ok("train")
    qwen.configure({"train.runtime.max_iters": "4", "train.peft.r": "2", "train.hf_model.block_size": "48"})
    said = qwen.ok("train").out
    assert "[train.peft] r = 4 from ckpt_last.pt (the configuration says 2)" in said
    assert "[train.hf_model] block_size = 48 from step 2 on, 32 before" in said
    assert load(qwen.out / "ckpt_last.pt").origin.config["train"]["peft"]["r"] == 4


def test_other_weights_than_those_that_were_trained_on_are_refused(qwen: Project) -> None:
    qwen.ok("prepare")
    qwen.ok("train")
    qwen.configure({"train.runtime.max_iters": "8"})
    other = AutoModelForCausalLM.from_pretrained(qwen.root / "base")
    with torch.no_grad():
        other.lm_head.weight.add_(1)
    other.save_pretrained(qwen.root / "base")
    for verb in ("train", "sample", "merge"):
        refused = qwen.run(verb)
        assert refused.code == 2
        assert "trained from different weights than those of [train.hf_model] model_name" in refused.err


def test_diverged_adapters_make_way_for_the_last_good_ones(qwen: Project) -> None:
    qwen.configure({"train.optim.learning_rate": "1e30", "train.optim.grad_clip": "0.0", "train.optim.kind": '"sgd"'})
    qwen.ok("prepare")
    assert qwen.run("train").code == 2
    about = json.loads((qwen.out / "adapters" / "last" / "training.json").read_text())
    assert about["step"] == weights(qwen).progress.step


def test_a_kill_between_adapters_and_checkpoint_loses_nothing(qwen: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    qwen.ok("prepare")
    qwen.ok("train")
    whole = weights(qwen)
    qwen.out.rename(qwen.root / "whole")
    original = CheckpointStore.save

    def save(self: CheckpointStore, checkpoint: Checkpoint, *, is_best: bool = False, step: int | None = None) -> None:
        if checkpoint.progress.step == 4:
            kill()
        original(self, checkpoint, is_best=is_best, step=step)

    monkeypatch.setattr(CheckpointStore, "save", save)
    with pytest.raises(Killed):
        qwen.run("train")
    assert weights(qwen).progress.step == 2
    monkeypatch.undo()
    qwen.ok("train")
    assert_same_state(weights(qwen), whole)
    about = json.loads((qwen.out / "adapters" / "final" / "training.json").read_text())
    assert about["step"] == 6


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_way_of_training_goes_on_to_the_bit(
    qwen: Project, at_step: AtStep, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    qwen.configure(changes)
    qwen.ok("prepare")
    trained_with_a_kill(qwen, at_step, monkeypatch, 4)
    ids = some_ids(qwen)
    checkpoint = load(qwen.out / "ckpt_best.pt")
    best = spec(qwen).of_checkpoint(checkpoint.origin.model_args).restore(checkpoint.averaged_weights).eval()
    with torch.no_grad():
        torch.testing.assert_close(our_logits(qwen, ids), best(ids), atol=0, rtol=0)


def test_numbered_checkpoints_are_limited_as_for_other_models(qwen: Project) -> None:
    qwen.configure({"train.runtime.always_save_checkpoint": "true", "train.runtime.keep_last_n": "2"})
    qwen.ok("prepare")
    qwen.ok("train")
    assert [path.name for path in RunDirectory(qwen.out).numbered_checkpoints()] == [
        "ckpt_00000004.pt",
        "ckpt_00000006.pt",
    ]


def test_adapters_of_before_are_not_taken_for_a_model_without(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    (qwen.out / "ckpt_last.pt").unlink()
    qwen.configure({"train.peft.enabled": "false", "train.optim.learning_rate": "0.003"})
    qwen.ok("train")
    assert "ckpt_best.pt (step " in qwen.ok("sample").err
    assert "ckpt_best.pt (step " in qwen.ok("merge").out


def test_a_folder_that_a_kill_left_aside_is_found_again(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    (qwen.out / "adapters" / "best").rename(qwen.out / "adapters" / ".best.old")
    assert "adapters/.best.old (step " in qwen.ok("sample").err
    assert (qwen.out / "adapters" / ".best.old").exists()  # readers rename nothing
