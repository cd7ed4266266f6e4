"""Any prompt and any setting of sampling: text, or one message."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.huggingface import FastTokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import PlaygroundError
from ml_playground.inference.generate import generate, prefill, split_streams, stream_text
from ml_playground.inference.prompt import encode_prompt, read_prompt
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.runtime import resolve
from tests.integration.finetuning import by_bytes, by_sentencepiece

RUNTIME = resolve("cpu", "float32")
SPECIAL = ("<|endoftext|>", "<|endofprompt|>", "<bos>", "<eos>", "</s>", "<unk>", "<pad>", "<0x00>", "\u2581",
           "\0", "\ud800", "\udcff", "\ufeff", "\r\n", "\u2028", "e\u0301", "\U0001f9d1\u200d", "FILE:")  # fmt: skip
PROMPTS = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(SPECIAL)), max_size=6).map("".join)
PROFILE = settings(derandomize=True, deadline=None, max_examples=150)


def tokenizers() -> dict[str, Tokenizer]:
    special = {"<|endoftext|>", "<|start|>"}
    return {
        "char": CharTokenizer("\n abcdefgh<|>\0", start_token=False),
        "char, documents": CharTokenizer("\n abcdefgh", start_token=True),
        "bytes": FastTokenizer(by_bytes(*special).to_str(), end_token="<|endoftext|>"),
        "sentencepiece": FastTokenizer(
            by_sentencepiece("<pad>", "<eos>", "<bos>", "<unk>", begin="<bos>").to_str(),
            end_token="<eos>",
            start_token="<bos>",
        ),
    }


TOKENIZERS = tokenizers()


def model_for(tokenizer: Tokenizer) -> LanguageModel:
    args: dict[str, Any] = {"n_layer": 1, "n_head": 1, "n_embd": 4, "block_size": 6}
    torch.manual_seed(1)
    return build_model({**args, "vocab_size": tokenizer.vocab_size}).eval()


MODELS = {name: model_for(tokenizer) for name, tokenizer in TOKENIZERS.items()}


@given(
    name=st.sampled_from(sorted(TOKENIZERS)),
    text=PROMPTS,
    temperature=st.floats(0, 1e30),
    top_k=st.integers(0, 10**20),
    top_p=st.floats(5e-324, 1),
    min_p=st.floats(0, 1),
    repetition_penalty=st.floats(1e-3, 1e3),
    rows=st.integers(1, 3),
    once=st.booleans(),
)
@PROFILE
@example(
    name="char", text="\0" * 7, temperature=1e-320, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1e3, rows=2,
    once=True,
)  # fmt: skip
def test_any_prompt_gives_text_or_a_message(
    name: str, text: str, temperature: float, rows: int, once: bool, **options: float
) -> None:
    tokenizer, model = TOKENIZERS[name], MODELS[name]
    sampling = SamplingConfig.model_validate({"temperature": temperature, "max_new_tokens": 9, **options})
    try:
        prompt = encode_prompt(read_prompt(text), tokenizer)
    except PlaygroundError:
        return
    prefilled = prefill(model, prompt, RUNTIME) if once else None
    steps = generate(model, prompt, tokenizer, sampling, runtime=RUNTIME, seeds=range(rows), prefilled=prefilled)
    for tokens in split_streams(steps, rows):
        written = "".join(stream_text(tokenizer, tokens))
        written.encode("utf-8")


@given(text=PROMPTS)
@PROFILE
def test_gpt2s_tokens_take_any_prompt(gpt2: TiktokenTokenizer, text: str) -> None:
    try:
        ids = encode_prompt(read_prompt(text), gpt2)
    except PlaygroundError:
        return
    assert all(0 <= token < gpt2.vocab_size for token in ids)


@pytest.mark.parametrize("unit", ["a", " ", "\n", "ab ", "\0", "<|endoftext|>"])
def test_a_huge_prompt_ends(unit: str) -> None:
    for name, tokenizer in TOKENIZERS.items():
        try:
            prompt = encode_prompt(unit * 100_000, tokenizer)
        except PlaygroundError:
            continue
        steps = generate(MODELS[name], prompt, tokenizer, SamplingConfig.model_validate({}), runtime=RUNTIME, seeds=[0])
        next(steps, None)
