"""Adapters become a part of the weights."""

import json

import pytest
import torch

from ml_playground.config.sections import ModelSource
from ml_playground.inference.load import load_trained
from ml_playground.models import quantize
from ml_playground.run_directory import RunDirectory
from tests.integration.finetuning import by_bytes, fine_tuning, our_logits, some_ids
from tests.project import Project

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::FutureWarning:peft")


def test_weights_of_8_bits_have_the_adapters_in_them(project: Project) -> None:
    fine_tuning(project, "llama").configure({"sample.runtime.dtype": '"int8"'})
    for verb in ("prepare", "train", "sample"):
        project.ok(verb)
    ids = some_ids(project)
    trained = load_trained(RunDirectory(project.out), ModelSource(model_name=str(project.root / "base"))).model.eval()
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
    assert "Nothing is written" in refused.err
    assert before == {path: path.read_bytes() for path in (qwen.out / "merged").iterdir()}


def test_transformers_ways_of_its_own_with_a_tokenizer_are_told(qwen: Project) -> None:
    """For Qwen2 it takes the pattern that cuts words from its own code, whatever the file says."""
    by_bytes("<|endoftext|>").save(str(qwen.root / "base" / "tokenizer.json"))
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    assert "! Transformers cuts validation text into other tokens" in qwen.ok("merge").out


def test_export_takes_what_was_merged(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    qwen.configure({"export.gguf.enabled": "false", "export.hf.enabled": "true"})
    assert "Run 'merge' first" in qwen.run("export").err
    qwen.ok("merge")
    qwen.ok("export")
    qwen.configure({"train.runtime.max_iters": "12", "train.optim.learning_rate": "0.05"})
    qwen.ok("train")
    assert "made of other weights than are the best now. Run 'merge' again" in qwen.run("export").err
