"""Adapters become a part of the weights."""

import json

import pytest
import torch

from ml_playground.commands import merge
from ml_playground.config.experiment import ExperimentConfig
from ml_playground.data.store import Dataset
from ml_playground.inference.load import load_trained
from ml_playground.models.quantized import quantize
from ml_playground.run.checkpoint import load
from ml_playground.run.directory import RunDirectory
from tests.integration.finetuning import by_bytes, fine_tuning, our_logits, some_ids, spec
from tests.integration.runs import Killed, kill
from tests.project import Project

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::FutureWarning:peft")


def test_weights_of_8_bits_have_the_adapters_in_them(project: Project) -> None:
    fine_tuning(project, "llama").configure({"sample.runtime.dtype": '"int8"'})
    for verb in ("prepare", "train", "sample"):
        project.ok(verb)
    ids = some_ids(project)
    trained = load_trained(RunDirectory(project.out), spec(project)).model.eval()
    whole = our_logits(project, ids)
    quantize(trained)
    with torch.no_grad():
        rough = trained.to(torch.bfloat16)(ids).float()
    assert (rough - whole).abs().max() < 0.1 * whole.abs().max()
    assert not any("lora" in name for name, _ in trained.named_modules())


def test_the_best_is_merged_whenever_it_is_found(qwen: Project) -> None:
    qwen.configure({"train.runtime.save_merged_on_best": "true"})
    qwen.ok("prepare")
    said = qwen.ok("train").out
    assert said.count("merged; logits within") == said.count("(best so far)") > 1
    best = json.loads((qwen.out / "adapters" / "best" / "training.json").read_text())
    assert json.loads((qwen.out / "merged" / "merge.json").read_text())["step"] == best["step"]


def test_a_merged_model_that_says_something_else_is_not_written(qwen: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("prepare", "train", "merge"):
        qwen.ok(verb)
    before = {path: path.read_bytes() for path in (qwen.out / "merged").iterdir()}
    monkeypatch.setattr("ml_playground.finetune.merge.TOLERANCE", 0.0)
    refused = qwen.run("merge")
    assert refused.code == 2
    assert "Nothing was written" in refused.err
    assert before == {path: path.read_bytes() for path in (qwen.out / "merged").iterdir()}


def test_transformers_ways_of_its_own_with_a_tokenizer_are_told(qwen: Project) -> None:
    """For Qwen2 it takes the pattern that cuts words from its own code, whatever the file says."""
    by_bytes("<|endoftext|>").save(str(qwen.root / "base" / "tokenizer.json"))
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    assert "! Transformers splits validation text into different tokens" in qwen.ok("merge").out


def test_export_takes_what_was_merged(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    qwen.configure({"export.gguf.enabled": "false", "export.hf.enabled": "true"})
    assert "Run 'merge' first" in qwen.run("export").err
    qwen.ok("merge")
    qwen.ok("export")
    qwen.configure({"train.runtime.max_iters": "12", "train.optim.learning_rate": "0.05"})
    qwen.ok("train")
    assert "made from other weights than the best ones now. Run 'merge' again" in qwen.run("export").err


def test_a_kill_while_merging_is_made_up_for(qwen: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    qwen.configure({"train.runtime.save_merged_on_best": "true"})
    qwen.ok("prepare")
    original = merge.merge_best

    def merge_best(config: ExperimentConfig, dataset: Dataset, run: RunDirectory) -> None:
        if load(run.best_checkpoint).progress.step == 6:
            kill()
        original(config, dataset, run)

    monkeypatch.setattr(merge, "merge_best", merge_best)
    with pytest.raises(Killed):
        qwen.run("train")
    assert json.loads((qwen.out / "merged" / "merge.json").read_text())["step"] == 4
    monkeypatch.setattr(merge, "merge_best", original)
    qwen.ok("train")
    assert json.loads((qwen.out / "merged" / "merge.json").read_text())["step"] == 6


def test_trouble_with_merging_ends_no_training(qwen: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    qwen.configure({"train.runtime.save_merged_on_best": "true"})
    qwen.ok("prepare")
    monkeypatch.setattr("ml_playground.finetune.merge.TOLERANCE", 0.0)
    said = qwen.ok("train").out
    assert "! not merged: logits of the merged model" in said
    assert "6 of 6 steps done" in said


def test_what_is_merged_is_of_the_run_that_is_exported(qwen: Project) -> None:
    qwen.configure({"export.gguf.enabled": "false"})
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    qwen.out.rename(qwen.root / "elsewhere")
    qwen.configure({"sample.runtime.out_dir": '"elsewhere"'})
    for verb in ("merge", "export"):
        qwen.ok(verb)
    assert (qwen.root / "elsewhere" / "merged" / "merge.json").exists()
    (qwen.root / "elsewhere" / "merged" / "merge.json").write_text("{")
    assert "Run 'merge' first" in qwen.run("export").err


def test_a_model_of_ours_in_the_run_directory_has_nothing_to_merge(project: Project) -> None:
    for verb in ("prepare", "train"):
        project.ok(verb)
    fine_tuning(project, "llama").configure({"prepare.dataset_dir": '"tiny/tuned"'})
    project.ok("prepare")
    refused = project.run("merge")
    assert refused.code == 2
    assert "ckpt_best.pt is not a fine-tuned model: there is nothing to merge" in refused.err


def test_a_damaged_best_is_not_asked_for_again(qwen: Project) -> None:
    qwen.configure({"export.gguf.enabled": "false"})
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    (qwen.out / "adapters" / "best" / "adapter_model.safetensors").write_bytes(b"damaged")
    assert "ckpt_best.pt (step 6" in qwen.ok("merge").out
    qwen.ok("export")


def test_a_merged_model_has_the_files_of_its_own_tokenizer_alone(qwen: Project) -> None:
    template = qwen.root / "base" / "chat_template.jinja"
    template.write_text("{{ messages }}")
    for verb in ("prepare", "train", "merge"):
        qwen.ok(verb)
    assert (qwen.out / "merged" / "chat_template.jinja").read_text() == "{{ messages }}"
    template.unlink()
    qwen.configure({"prepare.split.val_fraction": "0.2", "train.runtime.out_dir": '"tiny/out/tiny"'})
    qwen.ok("prepare")
    assert not (qwen.datasets / "tokenizer" / "chat_template.jinja").exists()
