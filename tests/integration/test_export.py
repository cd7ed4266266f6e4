"""From a trained run to a folder of Hugging Face, and what all exports have in common."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.inference.generate import generate, split_streams
from ml_playground.inference.load import load_trained
from ml_playground.interop.huggingface.llama import Llama
from ml_playground.run.checkpoint import load, save
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import resolve
from tests.full_disk import full_disk
from tests.integration.exports import PROTOCOL, exported
from tests.project import Project


def our_greedy(project: Project, prompt: str, count: int) -> tuple[list[int], str]:
    trained = load_trained(RunDirectory(project.out))
    wanted = SamplingConfig.model_validate({"temperature": 0.0, "max_new_tokens": count})
    ids = trained.tokenizer.encode(prompt).tolist()
    if trained.tokenizer.start_id is not None:
        ids = [trained.tokenizer.start_id, *ids]
    runtime = resolve("cpu", "float32")
    steps = generate(trained.model.eval(), ids, trained.tokenizer, wanted, runtime=runtime, seeds=[0])
    made = list(split_streams(steps, 1)[0])
    return ids, trained.tokenizer.decode(made)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("GPT2LMHeadModel", {"train.model.kind": '"gpt2"'}),
        ("GPT2LMHeadModel", {"train.model.bias": "true", "train.model.mlp": '"gelu_tanh"'}),
        ("LlamaForCausalLM", {"train.model.kind": '"llama"', "train.model.n_kv_head": "1"}),
        ("MistralForCausalLM", {"train.model.kind": '"llama"', "train.model.sliding_window": "4"}),
        ("Qwen3ForCausalLM", {"train.model.kind": '"qwen3"', "train.runtime.ema_decay": "0.5"}),
    ],
)
def test_transformers_says_what_we_say(german: Project, name: str, changes: dict[str, str]) -> None:
    german.configure({"train.model.block_size": "40"})
    folder = exported(german, {**changes, "export.gguf.enabled": "false", "export.ollama.enabled": "false"})
    assert sorted(path.name for path in folder.iterdir()) == ["huggingface"]
    model: Any = AutoModelForCausalLM.from_pretrained(folder / "huggingface").eval()  # whose class is told below
    tokenizer = AutoTokenizer.from_pretrained(folder / "huggingface")
    assert type(model).__name__ == name
    ids, text = our_greedy(german, "Grüß", 30)
    assert tokenizer("Grüß")["input_ids"] == ids
    made = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=30)
    assert tokenizer.decode(made[0, len(ids) :]) == text
    assert tokenizer.decode(tokenizer.encode(PROTOCOL)) == PROTOCOL


def test_documents_begin_and_end_there_too(project: Project) -> None:
    project.configure({"prepare.source": '"lines"', "train.runtime.max_iters": "60"})
    project.configure({"train.optim.learning_rate": "0.05", "train.model.block_size": "40"})
    folder = exported(project) / "huggingface"
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids, text = our_greedy(project, "the", 35)
    assert tokenizer("<|endoftext|>the")["input_ids"] == ids
    made = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=35)
    assert tokenizer.decode(made[0, len(ids) :], skip_special_tokens=True) == text
    assert "tokenizer('<|endoftext|>'" in (folder / "README.md").read_text()
    assert 'PARAMETER stop "<|endoftext|>"' in (project.out / "export" / "Modelfile").read_text()


def test_gpt2s_tokens_go_along(german: Project, gpt2: TiktokenTokenizer) -> None:
    folder = exported(german, {"prepare.tokenizer": f'"{gpt2.encoding}"', "train.model.kind": '"qwen3"'})
    tokenizer = AutoTokenizer.from_pretrained(folder / "huggingface")
    assert tokenizer.encode(PROTOCOL) == gpt2.encode(PROTOCOL).tolist()
    assert tokenizer.eos_token_id == 50256
    fields = GGUFReader(folder / "tiny-f16.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert len(fields["tokenizer.ggml.tokens"].contents()) == 50257


def test_the_card_tells_data_loss_and_configuration_and_no_path_of_this_machine(
    german: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("texts")
    german.text.rename(elsewhere / "input.txt")
    folder = exported(german, {"prepare.raw_dir": f'"{elsewhere}"', "sample.sample.temperature": "0"})
    card = (folder / "huggingface" / "README.md").read_text()
    loss = json.loads((german.out / "summary.json").read_text())["best_val_loss"]
    assert f"step 20, validation loss {loss:.4f}" in card
    assert "- Source: `input.txt`" in card
    assert "Its context is 8 tokens." in card
    assert "„" in card[card.index("the whole vocabulary as a JSON") :]
    assert "n_layer = 1" in card
    assert str(elsewhere) not in card
    generation = json.loads((folder / "huggingface" / "generation_config.json").read_text())
    assert generation["do_sample"] is False


def test_a_conversion_that_computes_something_else_leaves_what_was_there(
    german: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(german, {"train.model.kind": '"llama"'})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    original = Llama.config_json

    def wrong(*arguments: Any) -> dict[str, Any]:
        return {**original(*arguments), "rope_theta": 3.0}

    monkeypatch.setattr(Llama, "config_json", wrong)
    outcome = german.run("export")
    assert outcome.code == 2
    assert "Transformers' logits on validation text differ from ours by up to" in outcome.err
    assert "Nothing was written" in outcome.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_weights_that_are_no_numbers_do_not_leave(german: Project) -> None:
    german.ok("prepare")
    german.ok("train")
    path = german.out / "ckpt_best.pt"
    checkpoint = load(path)
    checkpoint.model["transformer.ln_f.weight"][0] = torch.nan
    save(path, checkpoint)
    assert "differ from ours by up to nan" in german.run("export").err
    assert not (german.out / "export" / "huggingface").exists()


def test_models_without_a_class_are_refused(german: Project) -> None:
    german.configure({"train.model.kind": '"modern"'})
    german.ok("prepare")
    german.ok("train")
    outcome = german.run("export")
    assert outcome.code == 2
    assert 'mlp = "relu2" (not "swiglu"), embedding_norm = true (not false)' in outcome.err
    assert not (german.out / "export" / "huggingface").exists()


def test_a_model_of_ones_own_stays_here_even_if_it_derives_from_ours(german: Project) -> None:
    (german.root / "model.py").write_text(
        "from ml_playground.models.transformer import Transformer\nclass Odd(Transformer): pass\nbuild = Odd\n"
    )
    german.configure({"train.model.file": '"model.py"'})
    german.ok("prepare")
    german.ok("train")
    assert "no other program can run a Odd: it is not a built-in model" in german.run("export").err


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("source", ["text", "lines"])
def test_the_example_in_the_card_runs_as_it_stands(
    german: Project, monkeypatch: pytest.MonkeyPatch, kind: str, source: str
) -> None:
    german.configure({"sample.sample.max_new_tokens": "200", "prepare.source": f'"{source}"'})
    german.text.write_text("".join(f"{number} Grüße\n" for number in range(99)))
    folder = exported(german, {"train.model.kind": f'"{kind}"'}) / "huggingface"
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    exec(code, {})


def test_an_export_that_was_altered_is_not_begun_with(german: Project) -> None:
    folder = exported(german, {"train.model.kind": '"llama"'}) / "huggingface"
    german.configure({"train.runtime.out_dir": '"again"', "train.model.init_from": f'"{folder}"'})
    (folder / "README.md").write_text("A card of one's own is no damage.")
    german.ok("train")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"rms_norm_eps": 1e-05', '"rms_norm_eps": 1e-02'))
    shutil.rmtree(german.root / "again")
    refused = german.run("train")
    assert refused.code == 2
    assert "huggingface/config.json: damaged (its checksum does not match checksums.json)" in refused.err
    assert "If that was on purpose, delete checksums.json there." in refused.err


def test_a_full_disk_leaves_what_was_there(german: Project) -> None:
    folder = exported(german, {"train.model.n_embd": "64"})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for changes in ({}, {"export.hf.enabled": "false"}):
        german.configure(changes)
        with full_disk(50_000):
            outcome = german.run("export")
        assert outcome.code == 2
        assert "could not be written: " in outcome.err
        assert "Free up space, then run the same command again." in outcome.err
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_files_of_ones_own_stay_in_the_folder(german: Project) -> None:
    folder = exported(german) / "huggingface"
    (folder / "LICENSE").write_text("mine")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "README.md").unlink()
    german.ok("export")
    assert (folder / "LICENSE").read_text() == "mine"
    assert (folder / ".git" / "HEAD").read_text() == "ref"
    assert (folder / "README.md").is_file()
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_a_file_does_not_take_the_place_of_a_folder(german: Project) -> None:
    folder = exported(german)
    (folder / "tiny-f16.gguf").unlink()
    (folder / "tiny-f16.gguf").mkdir()
    (folder / "tiny-f16.gguf" / "notes.txt").write_text("mine")
    assert "tiny-f16.gguf: could not be written: Is a directory" in german.run("export").err
    assert (folder / "tiny-f16.gguf" / "notes.txt").read_text() == "mine"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "huggingface").write_text("mine")
    assert "huggingface: could not be written: Not a directory" in german.run("export").err
    assert (folder / "huggingface").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["huggingface"]


def test_text_with_the_name_of_a_special_token_can_leave(german: Project, gpt2: TiktokenTokenizer) -> None:
    german.text.write_text("what is <|endoftext|> to you?\n" * 100)
    exported(german, {"prepare.tokenizer": f'"{gpt2.encoding}"'})


def test_without_a_run_or_without_its_data_it_says_what_to_do(german: Project) -> None:
    assert "Run 'train' first" in german.run("export").err
    german.ok("prepare")
    german.ok("train")
    shutil.rmtree(german.datasets)
    assert "Run 'prepare' first" in german.run("export").err
    german.text.write_text("other text\n" * 100)
    german.ok("prepare")
    assert "the model was trained on different data than is prepared now" in german.run("export").err
    german.configure({"export.hf.enabled": "false"})  # which needs no data
    german.ok("export")
    german.configure({"export.gguf.enabled": "false", "export.ollama.enabled": "false"})
    assert "there is nothing to do" in german.run("export").err


def test_a_checkpoint_of_nanogpt_can_leave_too(project: Project, real_data: Path) -> None:
    written = Path(__file__).parents[1] / "unit" / "interop" / "nanogpt_run"
    shutil.copytree(written, project.out)
    shutil.copy(real_data / "tinyshakespeare" / "input.txt", project.text)
    project.ok("prepare")
    out = project.ok("export").out
    assert "exporting tiny/out/tiny/ckpt.pt (step 10, validation loss 4.1693)" in out
    card = (project.out / "export" / "huggingface" / "README.md").read_text()
    assert "trained with nanoGPT" in card
    assert "## Data" not in card
