"""What the tests of parity share: two programs and one text."""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from llama_cpp import GGML_TYPE_F32, Llama, llama_model_get_vocab, llama_token_to_piece

from ml_playground.inference.load import TrainedModel, load_trained
from ml_playground.models.kinds import BUILT_IN
from ml_playground.models.spec import ModelSpec
from ml_playground.run.directory import RunDirectory
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
    "llama, bias, tied": {
        "bias": "true",
        "tied_embeddings": "true",
        "head_dim": "24",
        "position": '{kind = "rope", theta = 5e5}',
    },
}
TOKENIZERS = {
    "characters": {"tokenizer": '"char"'},
    "characters, by lines": {"tokenizer": '"char"', "source": '"lines"'},
    "GPT-2": {"tokenizer": '"gpt2"'},
    "GPT-2, by lines": {"tokenizer": '"gpt2"', "source": '"lines"'},
}

Run = Callable[[str, str], Project]


@dataclass(frozen=True)
class Comparison:
    """What two programs make of one text."""

    same_ids: bool
    same_greedy: int  # tokens until the first that differs
    difference: float  # largest, of log-probabilities


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


def compare(project: Project, path: Path, spec: ModelSpec = BUILT_IN) -> Comparison:
    """Ours against llama.cpp's on the end of the text, of which the model has seen nothing."""
    trained, model = load_trained(RunDirectory(project.out), spec), llama(path)
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


def variant(project: Project, name: str, out: Path, *lines: str) -> Path:
    """A preset whose run directory is `out`."""
    return project.preset(
        name, "\n".join(['extends = "config.toml"', "[train.runtime]", f'out_dir = "{out}"', *lines, ""])
    )
