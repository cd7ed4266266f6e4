"""From a trained run to files of other programs. What llama.cpp makes of them is in tests/gguf."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM, AutoTokenizer

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers import TiktokenTokenizer
from ml_playground.inference.generate import generate, texts_of
from ml_playground.inference.load import load_trained
from ml_playground.models import huggingface
from ml_playground.run_directory import RunDirectory
from ml_playground.runtime import resolve
from tests.project import Project

PROTOCOL = "Präsident Dr. Norbert Lammert:\nGrüß Gott – liebe Kolleginnen und Kollegen, „schön“.\n\n"


@pytest.fixture
def german(project: Project) -> Project:
    """The tiny project on text with umlauts."""
    project.text.write_text(PROTOCOL * 40, encoding="utf-8")
    project.configure({"train.runtime.max_iters": "20", "train.optim.learning_rate": "0.03"})
    return project


def exported(project: Project, changes: dict[str, str] | None = None) -> Path:
    """Prepare, train and export; the folder that all went to."""
    project.configure(changes or {})
    for verb in ("prepare", "train", "export"):
        project.ok(verb)
    return project.out / "export"


def our_greedy(project: Project, prompt: str, count: int) -> tuple[list[int], str]:
    trained = load_trained(RunDirectory(project.out))
    wanted = SamplingConfig.model_validate({"temperature": 0.0, "max_new_tokens": count})
    ids = trained.tokenizer.encode(prompt).tolist()
    if trained.tokenizer.start_id is not None:
        ids = [trained.tokenizer.start_id, *ids]
    runtime = resolve("cpu", "float32")
    steps = generate(trained.model.eval(), ids, trained.tokenizer, wanted, runtime=runtime, seeds=[0])
    made = list(texts_of(steps, 1)[0])
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
    project.configure({"prepare.documents": '"lines"', "train.runtime.max_iters": "60"})
    project.configure({"train.optim.learning_rate": "0.05", "train.model.block_size": "40"})
    folder = exported(project) / "huggingface"
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids, text = our_greedy(project, "the", 35)
    assert tokenizer("<|endoftext|>the")["input_ids"] == ids
    made = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=35)
    assert tokenizer.decode(made[0, len(ids) :], skip_special_tokens=True) == text
    assert 'tokenizer("<|endoftext|>"' in (folder / "README.md").read_text()
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
    assert "n_layer = 1" in card
    assert str(elsewhere) not in card
    generation = json.loads((folder / "huggingface" / "generation_config.json").read_text())
    assert generation["do_sample"] is False


def test_a_conversion_that_computes_something_else_leaves_what_was_there(
    german: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(german, {"train.model.kind": '"llama"'})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    original = huggingface._llama_config  # pyright: ignore[reportPrivateUsage]  # the mistake is made inside

    def wrong(*arguments: Any) -> dict[str, Any]:
        return {**original(*arguments), "rope_theta": 3.0}

    monkeypatch.setattr(huggingface, "_llama_config", wrong)
    outcome = german.run("export")
    assert outcome.code == 2
    assert "Transformers' logits on validation text differ from ours by up to" in outcome.err
    assert "Nothing is written" in outcome.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_models_without_a_class_are_refused(german: Project) -> None:
    german.configure({"train.model.kind": '"modern"'})
    german.ok("prepare")
    german.ok("train")
    outcome = german.run("export")
    assert outcome.code == 2
    assert 'ngram_embeddings = 4 (not 0), mlp = "relu2" (not "swiglu")' in outcome.err
    assert not (german.out / "export" / "huggingface").exists()


def test_a_sliding_window_is_not_dropped_for_llama_cpp(german: Project) -> None:
    german.configure({"train.model.kind": '"qwen3"', "train.model.sliding_window": "4"})
    german.ok("prepare")
    german.ok("train")
    outcome = german.run("export")
    assert outcome.code == 2
    assert "sliding_window = 4 stands in the way (not 0)" in outcome.err


def test_without_a_run_or_without_its_data_it_says_what_to_do(german: Project) -> None:
    assert "Run 'train' first" in german.run("export").err
    german.ok("prepare")
    german.ok("train")
    shutil.rmtree(german.datasets)
    assert "Run 'prepare' first" in german.run("export").err
    german.text.write_text("other text\n" * 100)
    german.ok("prepare")
    assert "the prepared data has another vocabulary than the model" in german.run("export").err
    german.configure({"export.hf.enabled": "false"})  # which needs no data
    german.ok("export")
    german.configure({"export.gguf.enabled": "false", "export.ollama.enabled": "false"})
    assert "nothing is to be done" in german.run("export").err


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 5e-3)])
def test_gguf_holds_the_weights_in_the_format_asked_for(german: Project, dtype: str, tolerance: float) -> None:
    german.configure({"train.model.n_embd": "32", "train.model.kind": '"qwen3"', "train.model.n_kv_head": "1"})
    folder = exported(german, {"export.gguf.dtype": f'"{dtype}"'})
    reader = GGUFReader(folder / f"tiny-{dtype}.gguf")
    wanted = {"qwen3.context_length": 8, "qwen3.attention.head_count_kv": 1, "qwen3.embedding_length": 32}
    assert {key: reader.fields[key].contents() for key in wanted} == wanted
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    model = load_trained(RunDirectory(german.out)).model
    embedding = dequantize(tensors["token_embd.weight"].data, tensors["token_embd.weight"].tensor_type)
    ours = model.get_parameter("transformer.wte.weight").detach().numpy()
    np.testing.assert_allclose(embedding, ours, atol=tolerance * np.abs(ours).max(), rtol=0)
    kinds = {name: tensor.tensor_type.name for name, tensor in tensors.items()}
    assert kinds["token_embd.weight"] == kinds["blk.0.attn_q.weight"] == dtype.upper()
    assert kinds["blk.0.attn_norm.weight"] == kinds["blk.0.attn_q_norm.weight"] == "F32"


def test_rows_that_do_not_divide_into_blocks_are_kept_in_16_bits(german: Project) -> None:
    folder = exported(german, {"export.gguf.dtype": '"q8_0"', "train.model.n_embd": "16"})
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(folder / "tiny-q8_0.gguf").tensors}
    assert kinds["blk.0.attn_qkv.weight"] == "F16"  # 16 long
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"  # 64 long


def test_the_modelfile_samples_as_the_configuration_says(german: Project) -> None:
    german.configure({"sample.sample.top_k": "7", "sample.sample.min_p": "0.1", "sample.runtime.seed": "5"})
    german.configure({"sample.sample.repetition_penalty": "1.2"})
    lines = (exported(german) / "Modelfile").read_text().splitlines()
    assert lines[:2] == ["FROM ./tiny-f16.gguf", 'TEMPLATE """{{ .Prompt }}"""']
    said = {line.split()[1]: line.split()[2] for line in lines[2:]}
    assert said == {
        "num_ctx": "8",
        "num_predict": "12",
        "temperature": "0.8",
        "top_k": "7",
        "top_p": "1.0",
        "min_p": "0.1",
        "repeat_penalty": "1.2",
        "repeat_last_n": "-1",
        "seed": "5",
    }
    assert (german.out / "export" / lines[0].removeprefix("FROM ")).is_file()
    out = german.ok("export").out
    assert f"ollama create tiny -f {(german.out / 'export' / 'Modelfile').relative_to(german.root)}" in out
    assert "ollama run tiny" in out


def test_a_checkpoint_of_nanogpt_can_leave_too(project: Project, real_data: Path) -> None:
    written = Path(__file__).parents[1] / "unit" / "pretrained" / "nanogpt_run"
    shutil.copytree(written, project.out)
    shutil.copy(real_data / "tinyshakespeare" / "input.txt", project.text)
    project.ok("prepare")
    out = project.ok("export").out
    assert "exporting tiny/out/tiny/ckpt.pt (step 10, validation loss 4.1693)" in out
    assert "## Configuration" not in (project.out / "export" / "huggingface" / "README.md").read_text()


def test_a_folder_from_elsewhere_goes_through_the_converter(german: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported(german) / "huggingface"
    source = german.root / "merged"
    folder.rename(source)
    german.configure({"export.hf.source": '"merged"'})
    monkeypatch.setenv("LLAMA_CPP", str(german.root / "nothing_here"))
    monkeypatch.setenv("PATH", "")
    outcome = german.run("export")
    assert outcome.code == 2
    assert "No llama.cpp was found. Get it once" in outcome.err
    converter = german.root / "convert_hf_to_gguf.py"
    german.configure({"export.gguf.convert_bin": '"convert_hf_to_gguf.py"'})
    assert f"convert_bin: there is no {converter.name}" in german.run("export").err
    converter.write_text("import sys; sys.exit('the model is not supported')")
    outcome = german.run("export")
    assert "ended with status 1 and wrote nothing. It said:\nthe model is not supported" in outcome.err
    converter.write_text(
        "import sys, pathlib; folder, _, to, _, kind = sys.argv[1:6]; assert (pathlib.Path(folder) / 'config.json')."
        "exists(); pathlib.Path(to).write_text(kind)"
    )
    german.ok("export")
    assert (german.out / "export" / "tiny-f16.gguf").read_text() == "f16"
    assert not folder.exists()  # it is in that format already
    german.configure({"export.hf.source": '"raw"'})
    assert "raw holds no model in Hugging Face's format" in german.run("export").err


def test_ollama_gets_a_smaller_file_where_a_quantiser_is_named(german: Project) -> None:
    quantiser = german.root / "llama-quantize"
    german.configure({"export.ollama.quant_bin": '"llama-quantize"'})
    german.ok("prepare")
    german.ok("train")
    assert "quant_bin: there is no llama-quantize" in german.run("export").err
    quantiser.write_text(f"#!{sys.executable}\nimport sys; open(sys.argv[2], 'w').write(sys.argv[3])")
    assert "cannot be run: Permission denied" in german.run("export").err
    quantiser.chmod(0o755)
    german.ok("export")
    assert (german.out / "export" / "tiny-q4_k_m.gguf").read_text() == "Q4_K_M"
    assert (german.out / "export" / "Modelfile").read_text().startswith("FROM ./tiny-q4_k_m.gguf\n")
    assert (german.out / "export" / "tiny-f16.gguf").stat().st_size > 1000
