"""Models of Hugging Face's format through the same trainer, checkpoints and sampler as ours."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as Library
from transformers import AutoModelForCausalLM, AutoTokenizer

from ml_playground.inference.load import load_trained
from ml_playground.run.checkpoint import load
from ml_playground.run.directory import RunDirectory
from tests.integration.finetuning import dataset_of, fine_tuning, our_logits, plain_peft_logits, some_ids, spec
from tests.integration.runs import AtStep, trained_with_a_kill, weights
from tests.project import Project

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers", "ignore::FutureWarning:peft")

KINDS = ["qwen2", "gemma3", "llama"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_goes_all_the_way(
    project: Project, at_step: AtStep, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    fine_tuning(project, kind)
    project.ok("prepare")
    whole = trained_with_a_kill(project, at_step, monkeypatch, 3)
    assert any(tensor.abs().max() > 0 for name, tensor in whole.model.items() if "lora_B" in name)

    ids = some_ids(project)
    ours = our_logits(project, ids)
    torch.testing.assert_close(plain_peft_logits(project, "best", ids), ours, atol=1e-5, rtol=0)
    said = project.ok("sample").out
    assert said.count("<speaker>Max Müller<party>CDU/CSU<year>2022<speech>") == 2

    said = project.ok("merge").out
    assert "best (step " in said
    assert "other tokens" not in said
    merged = AutoModelForCausalLM.from_pretrained(project.out / "merged")
    with torch.no_grad():
        torch.testing.assert_close(merged.eval()(ids).logits, ours, atol=1e-4, rtol=0)
    figures = json.loads((project.out / "merged" / "merge.json").read_text())
    assert figures["largest_difference"] <= figures["tolerance"] * figures["largest_logit"]
    assert_tokens_agree(project, AutoTokenizer.from_pretrained(project.out / "merged"))


def assert_tokens_agree(project: Project, theirs: Any) -> None:
    tokenizer = dataset_of(project).tokenizer
    rows = [json.loads(line) for line in (project.datasets / "val.jsonl").read_text().splitlines()]
    for row in rows:
        assert theirs.encode(row["text"], add_special_tokens=False) == tokenizer.encode(row["text"]).tolist()


@pytest.mark.parametrize("kind", [*KINDS, "gpt2"])
def test_a_token_at_a_time_says_the_same_as_all_at_once(project: Project, kind: str) -> None:
    fine_tuning(project, kind)
    for verb in ("prepare", "train"):
        project.ok(verb)
    model = load_trained(RunDirectory(project.out), spec(project)).model.eval()
    ids = some_ids(project)
    with torch.no_grad():
        whole = model(ids)
        for _ in range(2):
            cache = model.new_cache(1)
            steps = [model.extend(ids[:, :5], cache)] + [
                model.extend(ids[:, at : at + 1], cache) for at in range(5, 24)
            ]
            torch.testing.assert_close(torch.stack(steps, dim=1), whole[:, 4:], atol=1e-5, rtol=1e-5)
            cache.clear()
            torch.testing.assert_close(model.extend(ids[:, :3], cache), whole[:, 2], atol=1e-5, rtol=1e-5)


def test_sampling_takes_the_best_then_the_last_then_the_final_adapters(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    for name in ("adapters/best", "ckpt_best.pt", "adapters/last", "adapters/final", "ckpt_last.pt"):
        assert f"{name} (step " in qwen.ok("sample").err
        (qwen.out / name).rename(qwen.root / name.replace("/", "-"))


def test_a_damaged_adapter_is_named_and_the_next_one_taken(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    best = qwen.out / "adapters" / "best" / "adapter_model.safetensors"
    best.write_bytes(best.read_bytes()[:100])
    said = qwen.ok("sample").err
    assert "adapters/best/adapter_model.safetensors: damaged" in said
    assert "ckpt_best.pt (step 6" in said


def test_samples_go_to_a_file_of_their_own(qwen: Project) -> None:
    for verb in ("prepare", "train", "sample", "sample"):
        qwen.ok(verb)
    first, second = sorted((qwen.out / "samples").glob("sample-*.txt"))
    rows = [json.loads(line) for line in (qwen.out / "samples.jsonl").read_text().splitlines()]
    assert (
        first.read_text()
        == second.read_text()
        == "".join(f"{row['prompt']}{row['text']}\n{'-' * 15}\n" for row in rows[:2])
    )


def test_all_weights_can_be_trained_instead(qwen: Project, at_step: AtStep, monkeypatch: pytest.MonkeyPatch) -> None:
    qwen.configure(
        {"train.peft.enabled": "false", "train.runtime.ema_decay": "0.9", "train.optim.learning_rate": "0.001"}
    )
    qwen.ok("prepare")
    assert " of " not in qwen.ok("train").out.split("parameters")[0].splitlines()[-1]
    qwen.out.rename(qwen.root / "before")
    trained_with_a_kill(qwen, at_step, monkeypatch, 3)
    assert not (qwen.out / "adapters").exists()
    assert "ckpt_best.pt (step " in qwen.ok("merge").out
    merged = AutoModelForCausalLM.from_pretrained(qwen.out / "merged").eval()
    ids = some_ids(qwen)
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, our_logits(qwen, ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": "true"},
        {"use_rslora": "true", "bias": '"all"'},
        {"bias": '"lora_only"', "target_modules": '["q_proj", "v_proj"]', "extend_mlp_targets": "false"},
    ],
    ids=["dora", "rslora", "two modules"],
)
def test_variants_of_lora_come_back_from_plain_peft(qwen: Project, options: dict[str, str]) -> None:
    qwen.configure({f"train.peft.{key}": value for key, value in options.items()})
    for verb in ("prepare", "train", "merge"):
        qwen.ok(verb)
    ids = some_ids(qwen)
    torch.testing.assert_close(plain_peft_logits(qwen, "best", ids), our_logits(qwen, ids), atol=1e-5, rtol=0)


def test_without_structure_tokens_nothing_needs_to_be_resized(project: Project) -> None:
    fine_tuning(project, "llama").configure({"prepare.add_structure_tokens": "false", "sample.sample.start": '"Das"'})
    for verb in ("prepare", "train"):
        project.ok(verb)
    ids = some_ids(project)
    theirs = AutoPeftModelForCausalLM.from_pretrained(project.out / "adapters" / "final").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, plain_peft_logits(project, "last", ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_frozen_weights_take_fewer_bits_and_trained_ones_do_not(qwen: Project, dtype: str) -> None:
    qwen.configure({"train.runtime.dtype": f'"{dtype}"'})
    qwen.ok("prepare")
    qwen.ok("train")
    assert {tensor.dtype for tensor in weights(qwen).model.values()} == {torch.float32}
    model = load_trained(RunDirectory(qwen.out), spec(qwen)).model
    assert getattr(torch, dtype) in {parameter.dtype for parameter in model.parameters() if parameter.dim() == 2}
    qwen.ok("merge")


def test_estimate_and_describe_know_what_is_trained(qwen: Project) -> None:
    assert "adapters of rank 4 for base, block 32" in qwen.ok("describe").out
    qwen.ok("prepare")
    said = qwen.ok("estimate").out
    trained, everything = said.split("parameters  ")[1].split("\n")[0].replace(",", "").split(" of ")
    qwen.ok("train")
    assert int(everything) > int(trained) == sum(tensor.numel() for tensor in weights(qwen).model.values())
    assert "adapters/best/" in qwen.ok("describe").out


def test_a_fine_tuned_model_is_evaluated(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    last = weights(qwen).progress.val_loss
    assert f"{last:.4f} nats/token" in qwen.ok("evaluate").out


def test_training_on_speeches_makes_them_likelier(qwen: Project) -> None:
    """And so does training the rows of the tokens for their structure, which the model has never seen."""
    qwen.configure({"train.runtime.max_iters": "40", "train.runtime.eval_interval": "20", "train.peft.r": "8"})
    qwen.ok("prepare")
    qwen.ok("train")
    first, *_, last = [row["val/loss"] for row in qwen.metrics() if "val/loss" in row]
    assert last < first - 0.5
    (name,) = (name for name in weights(qwen).model if "trainable_tokens" in name)
    assert not torch.equal(weights(qwen).model[name], load(qwen.out / "ckpt_prev.pt").model[name])


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_weights_that_are_missing_are_not_made_up(project: Project) -> None:
    fine_tuning(project, "llama").ok("prepare")
    change_weights(project.root / "base", lambda tensors: tensors.pop("lm_head.weight"))
    refused = project.run("train")
    assert refused.code == 2
    assert refused.err == "base lacks weights that a model of its kind has: lm_head.weight.\n"


def test_rows_that_the_model_lacks_are_the_same_each_time(project: Project) -> None:
    fine_tuning(project, "gemma3").configure({"prepare.add_structure_tokens": "false", "sample.sample.start": '"Das"'})
    library = Library.from_file(str(project.root / "base" / "tokenizer.json"))
    library.add_tokens(["Herren!", "Antrag"])
    library.save(str(project.root / "base" / "tokenizer.json"))
    for verb in ("prepare", "train"):
        project.ok(verb)
    last = [row["val/loss"] for row in project.metrics() if "val/loss" in row][-1]
    assert f"{last:.4f} nats/token" in project.ok("evaluate").out
    assert project.ok("evaluate").out == project.ok("evaluate").out


def test_biases_are_trained_in_any_format(project: Project) -> None:
    changes = {
        "train.peft.bias": '"all"',
        "train.runtime.dtype": '"bfloat16"',
        "train.peft.extend_mlp_targets": "false",
    }
    fine_tuning(project, "gpt2").configure(changes)
    for verb in ("prepare", "train", "merge"):
        project.ok(verb)
    assert any(name.endswith("ln_f.bias") for name in weights(project).model)
    project.configure({"train.hf_model.dtype": '"float32"'})
    assert "must be the dtype of the training, bfloat16, where biases are trained" in project.run("train").err


@pytest.mark.parametrize("text", ["{", "[]", None])
def test_a_base_without_a_sound_configuration_is_named(qwen: Project, text: str | None) -> None:
    qwen.ok("prepare")
    config = qwen.root / "base" / "config.json"
    config.unlink() if text is None else config.write_text(text)
    refused = qwen.run("train")
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1
    assert "config.json" in refused.err


def test_adapters_without_their_description_make_way_for_the_next(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    info = qwen.out / "adapters" / "best" / "training.json"
    info.write_text(info.read_text().replace('"val_loss"', '"loss"'))
    said = qwen.ok("sample").err
    assert "adapters/best/training.json: damaged" in said
    assert "ckpt_best.pt (step 6" in said


def test_adapters_that_were_removed_are_written_again(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    before = (qwen.out / "adapters" / "final" / "adapter_model.safetensors").read_bytes()
    shutil.rmtree(qwen.out / "adapters")
    qwen.ok("train")
    assert (qwen.out / "adapters" / "final" / "adapter_model.safetensors").read_bytes() == before
    assert (qwen.out / "adapters" / "final").stat().st_mode & 0o077 == 0o055


def test_adapters_are_no_base(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    changes = {"train.hf_model.model_name": '"tiny/out/tiny/adapters/best"', "train.runtime.out_dir": '"tiny/out/two"'}
    qwen.configure(changes)
    qwen.ok("prepare")
    assert "adapters/best contains adapters, not a full model. Run 'merge'" in qwen.run("train").err


def test_a_base_by_another_name_needs_no_new_data(qwen: Project) -> None:
    qwen.ok("prepare")
    (qwen.root / "base").rename(qwen.root / "renamed")
    qwen.configure({"train.hf_model.model_name": '"renamed"', "train.hf_model.revision": '"main"'})
    qwen.ok("train")


def test_a_prompt_that_is_cut_is_told(qwen: Project) -> None:
    for verb in ("prepare", "train"):
        qwen.ok(verb)
    qwen.configure({"sample.sample.start": f'"{"Das ist nicht wahr. " * 20}"'})
    assert "tokens, of which the model sees the last 32" in qwen.ok("sample").err


def test_all_unknown_layers_are_named_at_once(qwen: Project) -> None:
    qwen.configure({"train.peft.target_modules": '["q_pro", "all-linear"]'})
    qwen.ok("prepare")
    said = qwen.run("train").err
    assert 'no linear layer "q_pro", "all-linear" (did you mean q_proj?)' in said
    assert "for all of them leave this out and set extend_mlp_targets = true" in said
