"""From logits to tokens."""

import torch
from torch import Tensor

from ml_playground.config.sections import SamplingConfig


def pick(logits: Tensor, context: Tensor, sampling: SamplingConfig, generators: list[torch.Generator]) -> Tensor:
    """Draw a token for each row, (B,).

    In this order: tokens that are in the context lose by `repetition_penalty` (Keskar et al. 2019, "CTRL"), logits are
    divided by `temperature`, the `top_k` likeliest are kept, of these the smallest set whose share reaches `top_p`
    (nucleus sampling, Holtzman et al. 2020), and of these what is at least `min_p` times as likely as the likeliest
    (Nguyen et al. 2024). The likeliest is always kept.

    Args:
        logits: shape (B, V), float32.
        context: the tokens before, (B, T).
        sampling: the `[sample.sample]` section.
        generators: each row's own source of chance, so that a row does not depend on the others.
    """
    if sampling.repetition_penalty != 1:
        seen = logits.gather(1, context)
        seen = torch.where(seen > 0, seen / sampling.repetition_penalty, seen * sampling.repetition_penalty)
        logits = logits.scatter(1, context, seen)
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    if 0 < sampling.top_k < logits.shape[1]:
        logits, tokens = logits.topk(sampling.top_k)  # (B, K), the likeliest first
    else:
        logits, tokens = logits.sort(descending=True, stable=True)
    below_best = (logits - logits[:, :1]) / sampling.temperature  # at most 0, so that no temperature overflows
    probabilities = torch.softmax(below_best, dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept = (before < sampling.top_p) & (probabilities >= sampling.min_p * probabilities[:, :1])
    kept[:, 0] = True
    probabilities = torch.where(kept, probabilities, 0)
    rows = zip(probabilities, generators, strict=True)
    places = torch.cat([torch.multinomial(row, 1, generator=generator) for row, generator in rows])
    return tokens.gather(1, places[:, None])[:, 0]
