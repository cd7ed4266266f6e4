"""Exported models in the real llama.cpp say what they say here."""

import shutil
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from gguf import GGUFReader
from llama_cpp import Llama
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it is

from ml_playground.cli import main
from ml_playground.config.sections import ModelConfig
from ml_playground.data.text import TextFile
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.inference.load import load_trained
from ml_playground.interop.gguf import write_gguf
from ml_playground.models.build import build_model
from ml_playground.run.directory import RunDirectory
from tests.gguf.parity import (
    FURTHER_KINDS,
    GELU_TOLERANCE,
    GREEDY,
    KINDS,
    TOKENIZERS,
    TOLERANCE,
    Run,
    compare,
    llama,
    log_probabilities,
    our_logits,
    row,
    their_logits,
    tolerance,
    variant,
)
from tests.project import Project


@pytest.mark.parametrize(
    ("kind", "tokenizer"), [*product(KINDS, TOKENIZERS), *((kind, "characters") for kind in FURTHER_KINDS)]
)
def test_a_file_of_ours_gives_the_same_tokens_text_and_probabilities(
    run: Run, table: list[str], kind: str, tokenizer: str
) -> None:
    project = run(kind, tokenizer)
    found = compare(project, project.out / "export" / "tiny-f32.gguf")
    table.append(row(kind, tokenizer, "f32, written directly", found))
    assert found.same_ids
    assert found.same_greedy == GREEDY
    assert found.difference < tolerance(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_converter_makes_the_same_of_the_exported_folder(run: Run, table: list[str], kind: str) -> None:
    project = run(kind, "GPT-2")
    found = compare(project, project.out / "export" / "tiny-f32-ollama.gguf")
    table.append(row(kind, "GPT-2", "f32, by llama.cpp's converter", found))
    assert found.same_ids
    assert found.same_greedy == GREEDY
    assert found.difference < tolerance(kind)


@pytest.mark.parametrize("dtype", ["f16", "q8_0"])
@pytest.mark.parametrize("kind", KINDS)
def test_shorter_numbers_change_little(run: Run, table: list[str], kind: str, dtype: str) -> None:
    project = run(kind, "characters")
    shorter = variant(project, dtype, project.out, "[export.gguf]", f'dtype = "{dtype}"')
    assert main(["export", str(project.folder), "--exp-config", str(shorter)]) == 0
    found = compare(project, project.out / "export" / f"tiny-{dtype}.gguf")
    table.append(row(kind, "characters", dtype, found))
    assert found.same_ids
    assert found.difference < tolerance(kind, dtype)


QUANTISE = f"""#!{sys.executable}
# llama-quantize, by its function in the library
import ctypes, sys, llama_cpp
parameters = llama_cpp.llama_model_quantize_default_params()
parameters.ftype = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + sys.argv[3])
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(parameters)))
"""


def test_llama_cpps_quantizer_takes_our_files(run: Run, table: list[str]) -> None:
    project = run("qwen3", "characters")
    program = project.root / "llama-quantize"
    program.write_text(QUANTISE)
    program.chmod(0o755)
    smaller = variant(
        project, "smaller", project.out, "[export.ollama]", f'quant_bin = "{program}"', 'quantization = "Q8_0"'
    )
    assert main(["export", str(project.folder), "--exp-config", str(smaller)]) == 0
    assert (project.out / "export" / "Modelfile").read_text().startswith("FROM ./tiny-q8_0-ollama.gguf\n")
    found = compare(project, project.out / "export" / "tiny-q8_0-ollama.gguf")
    table.append(row("qwen3", "characters", "q8_0, by llama.cpp's quantizer", found))
    assert found.same_ids
    assert found.difference < TOLERANCE["q8_0"]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
def test_a_folder_from_elsewhere_is_exported_and_trained_on_alike(run: Run, table: list[str], kind: str) -> None:
    """The exported folder stands for one from elsewhere: exported by itself, and through a run that begins with it."""
    project = run(kind, "GPT-2")
    folder = project.out / "export" / "huggingface"
    source = variant(project, "source", project.root / "source", "[export.hf]", f'source = "{folder}"')
    assert main(["export", str(project.folder), "--exp-config", str(source)]) == 0
    found = compare(project, project.root / "source" / "export" / "source-f32.gguf")
    table.append(row(kind, "GPT-2", "f32, of a Hugging Face folder", found))
    assert found.same_ids
    assert found.same_greedy == GREEDY
    assert found.difference < tolerance(kind)

    begun = variant(
        project,
        "begun",
        project.root / "begun",
        "max_iters = 0",
        "[train.model]",
        f'init_from = "{folder}"',
        "[train.schedule]",
        "warmup_iters = 0",
    )
    for verb in ("train", "export"):
        assert main([verb, str(project.folder), "--exp-config", str(begun)]) == 0
    found = compare(project, project.root / "begun" / "export" / "begun-f32.gguf")
    table.append(row(kind, "GPT-2", "f32, of a run with init_from", found))
    assert found.same_ids
    assert found.same_greedy == GREEDY
    assert found.difference < tolerance(kind)


def test_the_converter_puts_the_chat_template_of_a_folder_into_the_file(run: Run, tmp_path: Path) -> None:
    """From which Ollama finds its own, and the tokens that end a turn."""
    project = run("llama", "GPT-2")
    folder, template = tmp_path / "chat", "{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}"
    shutil.copytree(project.out / "export" / "huggingface", folder)
    (folder / "chat_template.jinja").write_text(template)
    chat = variant(project, "chat", tmp_path / "out", "[export.hf]", f'source = "{folder}"')
    assert main(["export", str(project.folder), "--exp-config", str(chat)]) == 0
    made = tmp_path / "out" / "export"
    assert GGUFReader(made / "out-f32-ollama.gguf").fields["tokenizer.chat_template"].contents() == template
    modelfile = (made / "Modelfile").read_text()
    assert "TEMPLATE" not in modelfile
    assert "stop" not in modelfile


def test_a_checkpoint_of_nanogpt_is_begun_with_alike(real_data: Path, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.text.write_text((real_data / "tinyshakespeare" / "input.txt").read_text())
    nanogpt = Path(__file__).parents[1] / "unit" / "interop" / "nanogpt_run"
    project.configure({"train.model.init_from": f'"{nanogpt / "ckpt.pt"}"', "train.runtime.max_iters": "0"})
    project.configure({"train.schedule.warmup_iters": "0", "export.gguf.dtype": '"f32"'})
    for verb in ("prepare", "train", "export"):
        assert main([verb, str(project.folder)]) == 0
    theirs, model = load_trained(RunDirectory(nanogpt)), llama(project.out / "export" / "tiny-f32.gguf")
    text = project.text.read_text()[-2000:]
    ids: list[int] = theirs.tokenizer.encode(text).tolist()
    assert model.tokenize(text.encode()) == ids
    for start in range(0, 80, theirs.model.block_size):
        window = ids[start : start + theirs.model.block_size]
        difference = log_probabilities(their_logits(model, window)) - log_probabilities(our_logits(theirs, window))
        assert np.abs(difference).max() < GELU_TOLERANCE


@pytest.mark.parametrize("encoding", ["cl100k_base", "o200k_base", "p50k_base"])
def test_words_are_cut_as_other_encodings_do(
    real_data: Path, gpt2: TiktokenTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """Their patterns with GPT-2's tokens, for theirs are not at hand where there is no network."""
    ranks = {gpt2.token_bytes(token): token for token in range(50256)}
    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: ranks)
    pattern: str = getattr(openai_public, encoding)()["pat_str"]
    specials = {"<|endoftext|>": 50256}
    made = tiktoken.Encoding(encoding, pat_str=pattern, mergeable_ranks=ranks, special_tokens=specials)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda _: made)
    tokenizer = TiktokenTokenizer(encoding, start_token=False)
    shape = ModelConfig.model_validate({"kind": "llama", "n_layer": 1, "n_embd": 32, "block_size": 8})
    weights = build_model({**shape.model_dump(), "vocab_size": 50257}).state_dict()
    write_gguf(tmp_path / "words.gguf", shape, weights, tokenizer, "f16")
    model = Llama(str(tmp_path / "words.gguf"), vocab_only=True, verbose=False)
    for path in (real_data / "bundestag" / "raw" / "18081.txt", real_data / "tinyshakespeare" / "input.txt"):
        text = "".join(TextFile.find(path, "auto").pieces())[:100_000]
        assert model.tokenize(text.encode()) == tokenizer.encode(text).tolist()
