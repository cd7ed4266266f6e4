"""How fast text is generated: ours, nanoGPT's `generate`, and Hugging Face's with its cache."""

import copy
import io
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.contenders import NanoGPT
from benchmarks.report import Result, median, rounds
from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.inference.generate import generate
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.models.quantized import quantize
from ml_playground.runtime import resolve

ROUNDS = 3
SHAPES = {
    "10.7M characters": {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "vocab_size": 65},
    "GPT-2 124M": {"n_layer": 12, "n_head": 12, "n_embd": 768, "block_size": 1024, "vocab_size": 50257},
}
PROMPTS = {"10.7M characters": 16, "GPT-2 124M": 256}
TOKENS = {"10.7M characters": 200, "GPT-2 124M": 16}
TEMPERATURE, TOP_K = 0.8, 50


def sampling(nanogpt: NanoGPT, _scratch: Path) -> Result:
    """Tokens per second at batch 1 and 8, and the share of what reading the weights once per step would allow."""
    bandwidth = median([_read_bandwidth() for _ in range(5)])
    result = Result("sampling", ["model", "batch", "", "tokens/s", "median", "share of bandwidth"])
    for name, shape in SHAPES.items():
        model = build_model({**shape, "bias": True}).eval()
        size = 4 * model.num_parameters()
        for batch in (1, 8):
            contenders = _contenders(nanogpt, model, shape, torch.randint(0, 65, (1, PROMPTS[name])), batch)
            speeds: dict[str, list[float]] = {each: [] for each in contenders}
            for _ in range(ROUNDS):
                for each, make in contenders.items():
                    speeds[each].append(batch / seconds_per_token(make, TOKENS[name]))
            for each, rates in speeds.items():
                bytes_read = size // (2 if "bfloat16" in each else 4 if "int8" in each else 1)
                share = median(rates) / batch * bytes_read / bandwidth
                result.rows.append([name, str(batch), each, rounds(rates, 1), f"{median(rates):.1f}", f"{share:.2f}"])
            own = median(speeds["ml_playground"])
            factors = [f"{own / median(speeds[each]):.1f} times {each}" for each in ("nanoGPT", "Hugging Face")]
            result.says.append(f"{name}, batch {batch}: {' and '.join(factors)}.")
    result.says.append(f"Read bandwidth: {bandwidth / 1e9:.1f} GB/s (the sum of 1 GiB of float32, median of 5).")
    return result


def _contenders(
    nanogpt: NanoGPT, model: LanguageModel, shape: dict[str, int], prompt: torch.Tensor, batch: int
) -> dict[str, Callable[[int], object]]:
    code = nanogpt.model_code()
    with redirect_stdout(io.StringIO()):  # it prints its size
        theirs = code.GPT(code.GPTConfig(**shape, dropout=0.0, bias=True)).eval()
    hugging_face: Any = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape["vocab_size"],
            n_positions=shape["block_size"],
            n_embd=shape["n_embd"],
            n_layer=shape["n_layer"],
            n_head=shape["n_head"],
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    hugging_face.eval()
    ids = prompt.expand(batch, -1)

    def by_nanogpt(count: int) -> object:
        with torch.inference_mode():
            return theirs.generate(ids, count, temperature=TEMPERATURE, top_k=TOP_K)

    def by_hugging_face(count: int) -> object:
        with torch.inference_mode():
            return hugging_face.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=count,
                do_sample=True,
                temperature=TEMPERATURE,
                top_k=TOP_K,
                pad_token_id=0,
            )

    return {
        "nanoGPT": by_nanogpt,
        "Hugging Face": by_hugging_face,
        **our_contenders(model, shape, prompt, batch=batch),
    }


def our_contenders(
    model: LanguageModel, shape: dict[str, int], prompt: torch.Tensor, *, batch: int
) -> dict[str, Callable[[int], object]]:
    """Our sampler with weights in float32, bfloat16 and 8 bits; each makes a number of tokens after `prompt` (1, T)."""
    runtime = resolve("cpu", "float32")
    tokenizer = CharTokenizer([chr(code_point) for code_point in range(shape["vocab_size"])], start_token=False)
    small = copy.deepcopy(model)
    quantize(small)

    def by_us(weights: LanguageModel, count: int) -> object:
        wanted = SamplingConfig.model_validate({"temperature": TEMPERATURE, "top_k": TOP_K, "max_new_tokens": count})
        seeds, ids = list(range(batch)), [int(token) for token in prompt[0]]
        return list(generate(weights, ids, tokenizer, wanted, runtime=runtime, seeds=seeds))

    return {
        "ml_playground": partial(by_us, model),
        "ml_playground, bfloat16": partial(by_us, copy.deepcopy(model).bfloat16()),
        "ml_playground, int8": partial(by_us, small.bfloat16()),
    }


def seconds_per_token(make: Callable[[int], object], count: int) -> float:
    """Seconds for each token after the first, whose time is that of reading the prompt."""

    def seconds(tokens: int) -> float:
        began = time.perf_counter()
        make(tokens)
        return time.perf_counter() - began

    return (seconds(1 + count) - seconds(1)) / count


def _read_bandwidth() -> float:
    """Bytes per second at which memory is read."""
    values = torch.ones(2**28)
    began = time.perf_counter()
    values.sum()
    return 4 * 2**28 / (time.perf_counter() - began)
