"""From logits to tokens."""

import torch
from torch import Tensor

from ml_playground.config.sections import SamplingConfig
from ml_playground.errors import CheckpointError

_FLOAT32 = torch.finfo(torch.float32)


def sample_next(logits: Tensor, context: Tensor, sampling: SamplingConfig, generators: list[torch.Generator]) -> Tensor:
    """Sample the next token of each row, (B,).

    In this order: tokens in the context are penalised by `repetition_penalty` (Keskar et al. 2019, "CTRL"), logits are
    divided by `temperature`, the `top_k` most likely tokens are kept, of these the smallest set whose probability
    reaches `top_p` (nucleus sampling, Holtzman et al. 2020), and of these the ones at least `min_p` times as likely as
    the most likely (Nguyen et al. 2024). The most likely token is always kept.

    Args:
        logits: shape (B, V), float32.
        context: the tokens before, (B, T).
        sampling: the `[sample.sample]` section.
        generators: one per row, so that a row does not depend on the others.

    Raises:
        CheckpointError: the logits are NaN or infinite.
    """
    if not bool(torch.isfinite(logits.amax(dim=-1)).all()):  # the largest is NaN if one is
        raise CheckpointError(
            "the model's logits are not finite: its weights are unusable, or too large for [sample.runtime] dtype. "
            'Set that to "float32", or use an earlier checkpoint.'
        )
    if sampling.repetition_penalty != 1:
        penalty = _in_float32(sampling.repetition_penalty)
        seen = logits.gather(1, context)
        seen = torch.where(seen > 0, seen / penalty, seen * penalty)
        logits = logits.scatter(1, context, seen.clamp(_FLOAT32.min, _FLOAT32.max))
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    if 0 < sampling.top_k < logits.shape[1]:
        logits, tokens = logits.topk(sampling.top_k)  # (B, K), the likeliest first
    else:
        logits, tokens = logits.sort(descending=True, stable=True)
    below_best = (logits - logits[:, :1]) / _in_float32(sampling.temperature)  # at most 0, so that none overflows
    probabilities = torch.softmax(below_best, dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    kept = (before < sampling.top_p) & (probabilities >= sampling.min_p * probabilities[:, :1])
    kept[:, 0] = True
    probabilities = torch.where(kept, probabilities, 0)
    rows = zip(probabilities, generators, strict=True)
    places = torch.cat([torch.multinomial(row, 1, generator=generator) for row, generator in rows])
    return tokens.gather(1, places[:, None])[:, 0]


def _in_float32(value: float) -> float:
    """The nearest number that is neither 0 nor infinity in float32."""
    return min(max(value, _FLOAT32.tiny), _FLOAT32.max)
