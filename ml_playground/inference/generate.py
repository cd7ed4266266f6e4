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
    wanted: SamplingConfig,
    *,
    runtime: Runtime,
    seed: int,
) -> Iterator[int]:
    """The tokens that follow `prompt`, until a new document would start or `max_new_tokens` is reached.

    The model sees the last `block_size` tokens. `model` must be in evaluation mode; same seed, same tokens.
    """
    generator = torch.Generator(runtime.device).manual_seed(seed)
    ids = torch.tensor([list(prompt)], device=runtime.device)  # (1, T)
    for _ in range(wanted.max_new_tokens):
        with torch.inference_mode(), runtime.autocast():
            logits = model(ids[:, -model.block_size :])[0, -1, : tokenizer.vocab_size]  # (V,), without padding ids
        token = pick(
            logits.float(),
            temperature=wanted.temperature,
            top_k=wanted.top_k,
            top_p=wanted.top_p,
            generator=generator,
        )
        if token == tokenizer.start_id:
            return
        yield token
        ids = torch.cat((ids, ids.new_tensor([[token]])), dim=1)


def decode_stream(tokenizer: Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
    """The text of tokens as they come; a character whose bytes span several tokens comes with the last of them."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        yield decoder.decode(tokenizer.token_bytes(token))
    yield decoder.decode(b"", final=True)
