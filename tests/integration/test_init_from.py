"""Training that begins with a model from elsewhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.options import load_tokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.inference.load import load_trained
from ml_playground.run.checkpoint import load
from ml_playground.run.directory import RunDirectory
from tests.integration.runs import AtStep, Killed, assert_same_bits, kill
from tests.project import Project

NANOGPT = Path(__file__).parents[1] / "unit" / "interop" / "nanogpt_run"


@pytest.fixture
def folder(project: Project) -> Path:
    """A Llama of Transformers' own, with a tokenizer for the tiny project's characters."""
    project.ok("prepare")
    project.ok("train")
    project.ok("export")
    folder = project.root / "llama"
    shutil.copytree(project.out / "export" / "huggingface", folder)
    characters = json.loads((project.out / "tokenizer" / "tokenizer.json").read_bytes())["characters"]
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(characters) + 5,  # as some pad it
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "checksums.json").unlink()
    shutil.rmtree(project.out)
    return folder


def begin_with(project: Project, source: Path | str, changes: dict[str, str] | None = None) -> None:
    project.configure({"train.model.init_from": f'"{source}"', "train.model.dropout": "0.1", **(changes or {})})


def first_loss(project: Project) -> float:
    return float(next(row["val/loss"] for row in project.metrics() if "val/loss" in row))


@torch.inference_mode()
def loss_of(model: Any, project: Project) -> float:
    """Mean loss over validation text, as Transformers computes it, in windows of 8 tokens."""
    meta = json.loads((project.datasets / "meta.json").read_bytes())
    tokens = torch.frombuffer(bytearray((project.datasets / "val.bin").read_bytes()), dtype=torch.uint16).long()
    assert len(tokens) == meta["val"]["tokens"]
    losses: list[torch.Tensor] = []
    for start in range(0, len(tokens) - 1, 8):
        window = tokens[start : start + 9]
        vocab = meta["vocab_size"]
        logits = model(window[None, :-1]).logits[0, :, :vocab]
        losses.append(torch.nn.functional.cross_entropy(logits, window[1:], reduction="none"))
    return float(torch.cat(losses).mean())


def test_the_first_loss_is_that_of_the_model_that_it_begins_with(project: Project, folder: Path) -> None:
    begin_with(project, folder.relative_to(project.root))
    out = project.ok("train").out
    assert "initialised from llama: kind = llama, n_layer = 2, n_head = 4, n_embd = 24" in out
    expected = loss_of(LlamaForCausalLM.from_pretrained(folder).eval(), project)
    assert first_loss(project) == pytest.approx(expected, abs=1e-5)
    checkpoint = load(project.out / "ckpt_last.pt")
    args = checkpoint.origin.model_args
    assert args["n_kv_head"] == 2
    assert args["block_size"] == 8
    assert args["dropout"] == 0.1
    assert args["init_from"] == "llama"
    assert checkpoint.origin.config["train"]["model"] == {key: args[key] for key in args if key != "vocab_size"}
    assert json.loads((project.out / "run.json").read_bytes())["config"]["train"]["model"]["n_layer"] == 2
    assert "from the weights of another model" in out
    assert args["vocab_size"] == load_tokenizer(checkpoint.origin.tokenizer).vocab_size
    project.ok("sample")
    project.ok("export")


def test_documents_that_begin_with_another_token_are_refused(project: Project, folder: Path) -> None:
    values = Tokenizer(models.BPE())
    values.decoder = decoders.ByteLevel()
    values.train_from_iterator(["the cat"], trainers.BpeTrainer(special_tokens=["<a>", "<b>"]))
    values.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<a>"}')
    begin_with(project, "llama", {"prepare.tokenizer": '"huggingface"', "prepare.source": '"lines"'})
    project.text.write_text("the cat\ncat the\nhat\nthat\nteach\n" * 9)
    project.ok("prepare")
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<b>"}')
    assert "the tokenizer in ../../llama has changed" in project.run("train").err
    other = project.root / "other"
    shutil.copytree(folder, other)
    project.configure({"prepare.tokenizer": '{kind="huggingface", model="other"}', "train.model.init_from": '"llama"'})
    project.ok("prepare")
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<a>"}')
    assert "the data is not in the tokens that it knows" in project.run("train").err


@pytest.mark.parametrize("source", ["text", "lines"])
@pytest.mark.parametrize(("kind", "tokenizer"), [("gpt2", "char"), ("qwen3", "char"), ("llama", "gpt2")])
def test_what_was_exported_is_where_the_next_run_begins(
    project: Project, gpt2: TiktokenTokenizer, kind: str, tokenizer: str, source: str
) -> None:
    assert gpt2.encoding == "gpt2"  # and it is at hand
    project.configure({"train.model.kind": f'"{kind}"', "train.model.block_size": "16"})
    project.configure({"prepare.tokenizer": f'"{tokenizer}"', "prepare.source": f'"{source}"'})
    for verb in ("prepare", "train", "export"):
        project.ok(verb)
    best = load(project.out / "ckpt_best.pt")
    changes = (
        'extends = "config.toml"\n[train.model]\nblock_size = {size}\ninit_from = "tiny/out/tiny/export/huggingface"\n'
    )
    project.ok("train", project.preset("next", changes.format(size=16)))
    begun = load(project.out.with_name("next") / "ckpt_best.pt")
    rows = [json.loads(line) for line in (project.out.with_name("next") / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["val/loss"] == best.progress.val_loss
    assert begun.origin.model_args == best.origin.model_args | {"init_from": "tiny/out/tiny/export/huggingface"}
    project.ok("train", project.preset("cropped", changes.format(size=8)))
    assert load(project.out.with_name("cropped") / "ckpt_best.pt").origin.model_args["block_size"] == 8


def test_a_checkpoint_of_ours_is_gone_on_with_in_another_run(project: Project) -> None:
    project.configure({"train.runtime.ema_decay": "0.5", "train.model.kind": '"modern"'})
    project.ok("prepare")
    project.ok("train")
    best = load(project.out / "ckpt_best.pt")
    changes = 'extends = "config.toml"\n[train.model]\nkind = "gpt2"\ninit_from = "tiny/out/tiny/ckpt_best.pt"\n'
    out = project.ok("train", project.preset("next", changes)).out
    assert "initialised from tiny/out/tiny/ckpt_best.pt: kind = modern" in out
    rows = [json.loads(line) for line in (project.out.with_name("next") / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["val/loss"] == best.progress.val_loss
    changes = 'extends = "config.toml"\n[train.model]\ninit_from = "tiny/out/tiny"\n'
    outcome = project.run("train", project.preset("folder", changes))
    assert "not a model in Hugging Face's format. Name its ckpt_best.pt." in outcome.err


def test_nanogpts_checkpoint_is_gone_on_with(project: Project, real_data: Path) -> None:
    shutil.copy(real_data / "tinyshakespeare" / "input.txt", project.text)
    project.ok("prepare")
    shutil.copytree(NANOGPT, project.root / "nano")
    begin_with(project, "nano/ckpt.pt", {"train.runtime.eval_iters": "50", "train.model.dropout": "0.0"})
    project.ok("train")
    theirs = load_trained(RunDirectory(project.root / "nano"))
    tokens = torch.frombuffer(bytearray((project.datasets / "val.bin").read_bytes()), dtype=torch.uint16).long()[:401]
    with torch.inference_mode():
        logits = theirs.model.eval()(tokens[:-1].view(50, 8))
    expected = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:]))
    assert first_loss(project) == pytest.approx(expected, abs=1e-5)


def test_a_killed_run_goes_on_without_the_model_that_it_began_with(
    project: Project, folder: Path, at_step: AtStep
) -> None:
    begin_with(project, "llama")
    project.ok("train")
    whole = load(project.out / "ckpt_last.pt")
    shutil.rmtree(project.out)
    kills = [kill]
    at_step(4, lambda: kills.pop()() if kills else None)
    with pytest.raises(Killed):
        project.run("train")
    shutil.rmtree(folder)
    out = project.ok("train").out
    assert "from ckpt_last.pt (" not in out  # the shape is the source's, whatever the TOML says
    resumed = load(project.out / "ckpt_last.pt")
    assert_same_bits([whole.model, whole.optimizer], [resumed.model, resumed.optimizer])


@pytest.mark.usefixtures("folder")
def test_a_run_that_has_begun_says_that_it_comes_too_late(project: Project) -> None:
    project.ok("train")
    begin_with(project, "llama", {"train.runtime.max_iters": "8"})
    assert (
        '[train.model] init_from = null from ckpt_last.pt (the configuration says "llama")' in project.ok("train").out
    )
    assert load(project.out / "ckpt_last.pt").origin.config["train"]["model"]["init_from"] is None


@pytest.mark.usefixtures("folder")
def test_plan_and_describe_know_of_it(project: Project) -> None:
    begin_with(project, "llama")
    assert "initialised from llama" in project.ok("describe").out
    assert "initialised from llama" in project.ok("estimate").out


def test_what_does_not_fit_is_refused_before_anything_is_written(project: Project, folder: Path) -> None:
    def refusal(source: Path | str, changes: dict[str, str] | None = None) -> str:
        begin_with(project, source, changes)
        outcome = project.run("train")
        assert outcome.code == 2
        assert not (project.out / "ckpt_last.pt").exists()
        return outcome.err

    assert "block_size = 65 is beyond its context of 64" in refusal("llama", {"train.model.block_size": "65"})
    project.configure({"train.model.block_size": "8"})
    assert "there is no folder 'no/where/at/all', and that is not a name on the Hugging Face Hub" in refusal(
        "no/where/at/all"
    )
    assert "config.json is missing: not a model in Hugging Face's format" in refusal("tiny")
    weights, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    assert "model.safetensors is damaged" in refusal("llama")
    weights.unlink()
    assert "model.safetensors is missing" in refusal("llama")
    weights.write_bytes(whole)
    project.text.write_text("THE OTHER TEXT\n" * 50)
    project.ok("prepare")
    assert "the data is not in the tokens that it knows" in refusal("llama")
    tokenizer.write_text("{}")
    assert "tokenizer.json is damaged" in refusal("llama")
    tokenizer.unlink()
    assert "tokenizer.json is missing" in refusal("llama")


def test_a_name_at_the_hub_that_cannot_be_had_is_told_with_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.ok("prepare")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    begin_with(project, "nobody/nothing")
    outcome = project.run("train")
    assert outcome.code == 2
    assert "there is no folder 'nobody/nothing', and the Hugging Face Hub cannot be reached" in outcome.err
    assert "name a folder that holds the model" in outcome.err


def test_dropout_and_context_are_ones_own_but_fixed_once_begun(project: Project, folder: Path) -> None:
    begin_with(project, folder.name)
    project.ok("train")
    project.configure({"train.model.dropout": "0.5", "train.runtime.max_iters": "8"})
    out = project.ok("train").out
    assert "[train.model] dropout = 0.1 from ckpt_last.pt (the configuration says 0.5)" in out
    assert "n_layer" not in out


def test_the_path_counts_from_the_file_that_states_it(
    project: Project, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    begin_with(project, folder.name)
    preset = tmp_path_factory.mktemp("elsewhere") / "preset.toml"
    preset.write_text(f'extends = "{project.config}"\n[train.runtime]\nout_dir = "{project.out}"\n')
    assert "initialised from llama" in project.ok("train", preset).out


def test_a_folder_with_the_same_ids_in_another_order_is_not_taken(project: Project, folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_bytes())
    vocabulary = values["model"]["vocab"]
    first, second = "x", "f"  # which are not where the tokenizers are compared by what they make of text
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(values))
    assert isinstance(
        load_tokenizer(json.loads((project.datasets / "meta.json").read_bytes())["tokenizer"]), CharTokenizer
    )
    begin_with(project, "llama")
    assert "the data is not in the tokens that it knows" in project.run("train").err


def test_a_model_with_a_tokenizer_of_its_own(project: Project, folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, special_tokens=special)
    tokenizer.train_from_iterator([project.text.read_text()], trainer)
    template = processors.TemplateProcessing(single=f"{special[0]} $A", special_tokens=[(special[0], 0)])
    tokenizer.post_processor = template  # which training leaves out, and so does the exported folder
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[0]).save_pretrained(folder)
    config = LlamaConfig.from_pretrained(folder)
    config.vocab_size = 290
    config.dtype = torch.bfloat16
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    begin_with(project, "llama", {"prepare.tokenizer": '"huggingface"', "prepare.source": '"lines"'})
    project.ok("prepare")
    project.ok("train")
    expected = loss_of(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), project)
    assert first_loss(project) == pytest.approx(expected, abs=1e-5)
    project.ok("sample")
    assert "set [export.gguf] convert_bin" in project.run("export").err
    project.configure({"export.gguf.enabled": "false", "export.ollama.enabled": "false"})
    project.ok("export")
    exported = AutoTokenizer.from_pretrained(project.out / "export" / "huggingface")
    assert exported.eos_token == special[0]
    assert exported.encode("the cat") == tokenizer.encode("the cat", add_special_tokens=False).ids
    shutil.rmtree(folder)
    project.configure({"train.runtime.max_iters": "8"})
    project.ok("train")


def test_characters_of_another_run_serve_for_a_text_with_fewer(project: Project, folder: Path) -> None:
    project.text.write_text("the cat sits\n" * 99)
    begin_with(project, "llama")
    project.ok("prepare")
    assert "the data is not in the tokens that it knows" in project.run("train").err
    project.configure({"prepare.tokenizer": '"huggingface"'})
    project.ok("prepare")
    project.ok("train")
    expected = loss_of(LlamaForCausalLM.from_pretrained(folder).eval(), project)
    assert first_loss(project) == pytest.approx(expected, abs=1e-5)
