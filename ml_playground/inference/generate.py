"""Text generation, token by token."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.inference.sampling import sample_next
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.runtime import Runtime


@dataclass(frozen=True)
class Prefilled:
    """A prompt that a model has read: the cache, and logits (1, V) for the next token."""

    cache: Cache
    logits: Tensor


def prefill(model: LanguageModel, prompt: Sequence[int], runtime: Runtime) -> Prefilled:
    """Have `model` read a prompt once, for all texts that continue it."""
    with torch.inference_mode():
        return Prefilled(*_read(model, prompt, runtime, rows=1))


def _read(model: LanguageModel, prompt: Sequence[int], runtime: Runtime, *, rows: int) -> tuple[Cache, Tensor]:
    cache = model.new_cache(rows)
    ids = torch.tensor([list(prompt[-model.block_size :])] * rows, device=runtime.device)  # (B, T)
    return cache, model.extend(ids, cache)


def generate(
    model: LanguageModel,
    prompt: Sequence[int],
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    *,
    runtime: Runtime,
    seeds: Sequence[int],
    prefilled: Prefilled | None = None,
) -> Iterator[list[int | None]]:
    """Continue `prompt` with one text per seed, token by token; None marks a text that has ended.

    A text ends where its document does or a new one would start, or after `max_new_tokens`. The same seed gives the
    same text, whatever else is in the batch (but for rounding). The model sees up to `block_size` tokens; when
    these are full, it forgets the older half and continues from the rest. `model` must be in evaluation mode.
    `prefilled` is what `prefill` returned for this model and prompt, which then need not be read again.
    """
    generators = [torch.Generator(runtime.device).manual_seed(seed) for seed in seeds]
    with torch.inference_mode():
        copy = None if prefilled is None else prefilled.cache.repeated(len(seeds))
        if prefilled is None or copy is None:
            cache, logits = _read(model, prompt, runtime, rows=len(seeds))
        else:
            cache, logits = copy, prefilled.logits.expand(len(seeds), -1)
    alive, end_ids = [True] * len(seeds), tokenizer.end_ids()
    unread: Tensor | None = None  # ids (B, T) that follow those in the cache
    for _ in range(sampling.max_new_tokens):
        with torch.inference_mode():
            logits = logits if unread is None else model.extend(unread, cache)
            # Padding ids are left out.
            made = sample_next(logits[:, : tokenizer.vocab_size].float(), cache.ids, sampling, generators)  # (B,)
        tokens = [int(token) for token in made.cpu()]
        alive = [before and token not in end_ids for before, token in zip(alive, tokens, strict=True)]
        if not any(alive):
            return
        yield [token if living else None for token, living in zip(tokens, alive, strict=True)]
        with torch.inference_mode():  # another sort of tensor would have a compiled model compiled again
            unread = made[:, None]
            if cache.length == model.block_size:
                kept = max(1, model.block_size // 2)
                unread = torch.cat((cache.ids, unread), dim=1)[:, -kept:]
                cache.clear()


def split_streams(steps: Iterator[list[int | None]], count: int) -> Sequence[Iterable[int]]:
    """Split the steps of `generate` into texts: a single one as it is generated, several when all are done."""
    if count == 1:
        return [(token for tokens in steps for token in tokens if token is not None)]
    done = list(steps)
    return [[token for tokens in done if (token := tokens[index]) is not None] for index in range(count)]


def stream_text(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """Decode tokens as they arrive; a character whose bytes span several tokens comes with the last of them."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        yield decoder.decode(tokenizer.token_bytes(token))
    yield decoder.decode(b"", final=True)
