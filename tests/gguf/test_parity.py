"""Exported models in the real llama.cpp say what they say here."""

import ctypes
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiktoken
import torch
from llama_cpp import GGML_TYPE_F32, Llama, llama_model_get_vocab, llama_token_to_piece
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it is

from ml_playground.cli import main
from ml_playground.config.sections import ModelConfig
from ml_playground.data.text import TextFile
from ml_playground.data.tokenizers import TiktokenTokenizer
from ml_playground.export.gguf import write_gguf
from ml_playground.inference.load import TrainedModel, load_trained
from ml_playground.models import build_model
from ml_playground.run_directory import RunDirectory
from tests.project import Project

LLAMA_CPP = Path(os.environ["LLAMA_CPP"]).absolute()
CONTEXT = 128
STEPS = 150
GREEDY = 100  # tokens
TOLERANCE = {"f32": 2e-5, "f16": 1e-2, "q8_0": 1e-1}  # of log-probabilities
GELU_TOLERANCE = 2e-3  # llama.cpp computes GPT-2's GELU by tanh, in steps of 16-bit numbers

KINDS = {
    "gpt2": {"bias": "true"},
    "gpt2, gelu_tanh": {"mlp": '"gelu_tanh"'},
    "llama": {"n_kv_head": "1"},
    "qwen3": {"n_kv_head": "1", "head_dim": "24"},
}
FURTHER_KINDS = {
    "gpt2, untied": {"tied_embeddings": "false", "n_inner": "96"},
    "llama, bias, tied": {"bias": "true", "tied_embeddings": "true", "head_dim": "24", "rope_theta": "5e5"},
}
TOKENIZERS = {
    "characters": {"tokenizer": '"char"'},
    "characters, by lines": {"tokenizer": '"char"', "documents": '"lines"'},
    "GPT-2": {"tokenizer": '"gpt2"'},
    "GPT-2, by lines": {"tokenizer": '"gpt2"', "documents": '"lines"'},
}

Run = Callable[[str, str], Project]


@dataclass(frozen=True)
class Comparison:
    """What two programs make of one text."""

    same_ids: bool
    same_greedy: int  # tokens until the first that differs
    difference: float  # largest, of log-probabilities


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Run:
    """Trains a kind of model with a kind of tokenizer, once, and exports it in float32, by both ways."""
    done: dict[tuple[str, str], Project] = {}

    def trained(kind: str, tokenizer: str) -> Project:
        if (kind, tokenizer) in done:
            return done[kind, tokenizer]
        project = Project(tmp_path_factory.mktemp("run"))
        german = TextFile.find(real_data / "bundestag" / "raw" / "18081.txt", "auto")
        project.text.write_text("".join(german.pieces())[:300_000], encoding="utf-8")
        options = {f"prepare.{key}": value for key, value in TOKENIZERS[tokenizer].items()}
        options |= {f"train.model.{key}": value for key, value in (KINDS | FURTHER_KINDS)[kind].items()}
        options |= {
            "train.model.kind": f'"{kind.split(",")[0]}"',
            "train.model.n_layer": "2",
            "train.model.n_embd": "64",
            "train.model.block_size": str(CONTEXT),
            "train.data.block_size": "64",
            "train.optim.learning_rate": "0.01",
            "train.runtime.max_iters": str(STEPS),
            "train.runtime.eval_interval": str(STEPS),
            "train.runtime.eval_iters": "20",
            "export.gguf.dtype": '"f32"',
        }
        if tokenizer == "GPT-2":
            options["export.ollama.convert_bin"] = f'"{LLAMA_CPP}"'
        project.configure(options)
        for verb in ("prepare", "train", "export"):
            assert main([verb, str(project.folder)]) == 0
        done[kind, tokenizer] = project
        return project

    return trained


def llama(path: Path) -> Llama:
    return Llama(
        str(path),
        n_ctx=2 * CONTEXT,
        logits_all=True,
        n_threads=2,
        type_k=GGML_TYPE_F32,  # by default it keeps keys and values in 16 bits
        type_v=GGML_TYPE_F32,
        flash_attn=False,
        verbose=False,
    )


def pieces(model: Llama, ids: list[int]) -> str:
    """The text of tokens. `Llama.detokenize` cuts long tokens off and drops a space behind the start."""
    buffer = ctypes.create_string_buffer(1024)
    vocabulary = llama_model_get_vocab(model.model)
    text = b""
    for token in ids:
        length = llama_token_to_piece(vocabulary, token, buffer, len(buffer), 0, False)
        assert length >= 0
        text += buffer.raw[:length]
    return text.decode()


def log_probabilities(logits: npt.NDArray[Any] | torch.Tensor) -> npt.NDArray[Any]:
    return torch.as_tensor(logits).double().log_softmax(dim=-1).numpy()


def their_logits(model: Llama, ids: list[int]) -> npt.NDArray[Any]:
    model.reset()
    model.eval(ids)
    return np.array(model.scores[: len(ids)])


@torch.inference_mode()
def our_logits(trained: TrainedModel, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = trained.model.eval()(torch.tensor([ids]))[0]
    return logits


def greedy(step: Callable[[list[int]], npt.NDArray[Any]], ids: list[int]) -> list[int]:
    made: list[int] = []
    fed = ids
    for _ in range(GREEDY):
        made.append(int(step(fed)[-1].argmax()))
        fed = made[-1:]
    return made


def compare(project: Project, path: Path) -> Comparison:
    """Ours against llama.cpp's on the end of the text, of which the model has seen nothing."""
    trained, model = load_trained(RunDirectory(project.out)), llama(path)
    text = project.text.read_text(encoding="utf-8")[-20_000:]
    start = trained.tokenizer.start_id
    if start is not None:  # documents are lines
        text = text.replace("\n", " ")
    ids = [*([] if start is None else [start]), *trained.tokenizer.encode(text).tolist()]
    same_ids = model.tokenize(text.encode()) == ids and pieces(model, ids) == text

    window = ids[:CONTEXT]
    theirs, ours = their_logits(model, window), our_logits(trained, window)
    prompt = ids[: CONTEXT - GREEDY]
    cache = trained.model.new_cache(1)
    with torch.inference_mode():
        our_text = greedy(lambda fed: trained.model.extend(torch.tensor([fed]), cache).numpy(), prompt)
    model.reset()

    def their_step(fed: list[int]) -> npt.NDArray[Any]:
        model.eval(fed)
        return np.array(model.scores[model.n_tokens - 1 : model.n_tokens])

    their_text = greedy(their_step, prompt)
    same = next((at for at, (a, b) in enumerate(zip(our_text, their_text, strict=True)) if a != b), GREEDY)
    difference = np.abs(log_probabilities(theirs) - log_probabilities(ours)).max()
    return Comparison(same_ids, same, float(difference))


def row(kind: str, tokenizer: str, file: str, found: Comparison) -> str:
    alike = "all" if found.same_ids else "no"
    return f"| {kind} | {tokenizer} | {file} | {alike} | {found.same_greedy} of {GREEDY} | {found.difference:.1e} |"


def tolerance(kind: str, dtype: str = "f32") -> float:
    return max(TOLERANCE[dtype], GELU_TOLERANCE if kind.startswith("gpt2") else 0.0)


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


def test_a_checkpoint_of_nanogpt_is_begun_with_alike(real_data: Path, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.text.write_text((real_data / "tinyshakespeare" / "input.txt").read_text())
    nanogpt = Path(__file__).parents[1] / "unit" / "pretrained" / "nanogpt_run"
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


def variant(project: Project, name: str, out: Path, *lines: str) -> Path:
    """A preset whose run directory is `out`."""
    return project.preset(
        name, "\n".join(['extends = "config.toml"', "[train.runtime]", f'out_dir = "{out}"', *lines, ""])
    )
