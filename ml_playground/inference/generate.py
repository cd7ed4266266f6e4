"""Generation, token by token and piece of text by piece of text."""

import codecs
from collections.abc import Iterable, Iterator, Sequence

import torch

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers import Tokenizer
from ml_playground.inference.sampling import pick
from ml_playground.models import LanguageModel
from ml_playground.runtime import Runtime


def generate(
    model: LanguageModel,
    prompt: Sequence[int],
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    *,
    runtime: Runtime,
    seeds: Sequence[int],
) -> Iterator[list[int | None]]:
    """Texts that follow `prompt`, one per seed, token by token; None stands for a text that has ended.

    A text ends where its document does or a new one would start, or with `max_new_tokens`. Same seed, same text,
    whatever is generated beside it (but for rounding). The model sees up to `block_size` tokens; when that many are
    there, it forgets the older half and goes on from the rest. `model` must be in evaluation mode.
    """
    generators = [torch.Generator(runtime.device).manual_seed(seed) for seed in seeds]
    ids = torch.tensor([list(prompt[-model.block_size :])] * len(seeds), device=runtime.device)  # (B, T)
    cache = model.new_cache(len(seeds))
    alive, end_ids = [True] * len(seeds), tokenizer.end_ids()
    for _ in range(sampling.max_new_tokens):
        with torch.inference_mode():
            logits = model.extend(ids, cache)[:, : tokenizer.vocab_size]  # (B, V), without padding ids
            made = pick(logits.float(), cache.ids, sampling, generators)  # (B,)
        tokens = [int(token) for token in made.cpu()]
        alive = [before and token not in end_ids for before, token in zip(alive, tokens, strict=True)]
        if not any(alive):
            return
        yield [token if living else None for token, living in zip(tokens, alive, strict=True)]
        ids = made[:, None]
        if cache.length == model.block_size:
            kept = max(1, model.block_size // 2)
            ids = torch.cat((cache.ids, ids), dim=1)[:, -kept:]
            cache.clear()


def texts_of(steps: Iterator[list[int | None]], count: int) -> Sequence[Iterable[int]]:
    """The tokens of each text that `generate` makes: of a single one as they come, of several when all are done."""
    if count == 1:
        return [(token for tokens in steps for token in tokens if token is not None)]
    done = list(steps)
    return [[token for tokens in done if (token := tokens[index]) is not None] for index in range(count)]


def decode_stream(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """The text of tokens as they come; a character whose bytes span several tokens comes with the last of them."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        yield decoder.decode(tokenizer.token_bytes(token))
    yield decoder.decode(b"", final=True)
