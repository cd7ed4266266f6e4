"""Mistakes with pretrained models, fine-tuning and model files."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.mistakes.collection import configured, mistake
from tests.integration.finetuning import fine_tuning
from tests.integration.test_own_model import MODEL
from tests.project import Outcome, Project

configured(
    "beginning with a missing model",
    {"train.model.init_from": '"models/gpt 2"', "train.runtime.out_dir": '"tiny/out/other"'},
)


@mistake("beginning with a model of other tokens")
def other_tokens(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    source = {"train.model.init_from": '"tiny/out/tiny/ckpt_best.pt"', "train.runtime.out_dir": '"tiny/out/other"'}
    project.configure({**source, "prepare.dataset_dir": '"tiny/letters"'})
    project.text.write_text("other letters, in 12 words\n" * 50)
    project.ok("prepare")
    return project.run("train")


@mistake("a model that does not fit into memory")
def no_memory(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    project.configure({"train.model.n_embd": "4000000", "train.runtime.out_dir": '"tiny/out/huge"'})
    return project.run("train")


def fine_tuning_with(name: str, changes: dict[str, str], verb: str) -> None:
    """A mistake in going on with a model of Hugging Face's format."""

    @mistake(name)
    def arrange(project: Project, _: pytest.MonkeyPatch) -> Outcome:
        places = {"train.runtime.out_dir": '"tiny/out/tuned"', "prepare.dataset_dir": '"tiny/tuned"'}
        fine_tuning(project, "qwen2").configure(places)
        if verb != "prepare":
            project.ok("prepare")
        project.configure(changes)
        return project.run(verb)


fine_tuning_with("[train.model] beside [train.hf_model]", {"train.model.n_layer": "2"}, "prepare")
fine_tuning_with("fine-tuning in tokens that the model does not know", {"prepare.tokenizer": '"gpt2"'}, "prepare")
fine_tuning_with("a layer that the model lacks", {"train.peft.target_modules": '["q_prj"]'}, "train")
fine_tuning_with(
    "biases of a model that has none in its MLPs",
    {
        "train.peft.bias": '"lora_only"',
        "train.peft.target_modules": '["o_proj"]',
        "train.peft.extend_mlp_targets": "false",
    },
    "train",
)
fine_tuning_with("an adapter for a tied head", {"train.peft.target_modules": '["lm_head"]'}, "train")
fine_tuning_with("a context beyond the model's", {"train.hf_model.block_size": "128"}, "train")
fine_tuning_with("quantized weights on a CPU", {"train.hf_model.quantization": '"4bit"'}, "train")
fine_tuning_with("merging before there is anything", {"sample.sample.top_k": "1"}, "merge")
fine_tuning_with("a base model in a missing folder", {"train.hf_model.model_name": '"base/qwen"'}, "prepare")


def changed_base(name: str, change: Callable[[Path], object], verb: str = "train") -> None:
    """A mistake in the folder of the model to fine-tune."""

    @mistake(name)
    def arrange(project: Project, _: pytest.MonkeyPatch) -> Outcome:
        places = {"train.runtime.out_dir": '"tiny/out/tuned"', "prepare.dataset_dir": '"tiny/tuned"'}
        fine_tuning(project, "qwen2").configure(places)
        if verb != "prepare":
            project.ok("prepare")
        change(project.root / "base")
        return project.run(verb)


def with_config(changes: dict[str, Any]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@mistake("your own model sees the future")
def sees_the_future(project: Project, _: pytest.MonkeyPatch) -> Outcome:
    text = MODEL.replace("return self.table(ids)", "return self.table(ids.roll(-1, dims=1))")
    (project.folder / "model.py").write_text(text)
    project.configure({"train.model.file": '"tiny/model.py"', "train.runtime.out_dir": '"tiny/out/own"'})
    return project.run("train")


configured("options without your own model", {"train.model.options.width": "3"}, "describe")
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345\n"
changed_base(
    "weights that Git LFS has not downloaded", lambda folder: (folder / "model.safetensors").write_text(POINTER)
)
changed_base(
    "a tokenizer that Git LFS has not downloaded", lambda f: (f / "tokenizer.json").write_text(POINTER), "prepare"
)
changed_base(
    "a model that needs code of its own",
    with_config({"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}}),
)
changed_base("a model of a kind that Transformers lacks", with_config({"model_type": "mine"}))
changed_base("a config.json cut short", lambda folder: (folder / "config.json").write_text('{"model_type": '))
changed_base("a config.json with text instead of a number", with_config({"hidden_size": "wide"}))
changed_base("weights cut short", lambda folder: os.truncate(folder / "model.safetensors", 5000))
fine_tuning_with("a missing base model", {"train.hf_model.model_name": '"my models/qwen"'}, "prepare")
