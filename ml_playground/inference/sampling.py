"""From logits to a token."""

import torch
from torch import Tensor


def pick(logits: Tensor, *, temperature: float, top_k: int, top_p: float, generator: torch.Generator) -> int:
    """Draw a token.

    Args:
        logits: shape (V,), float32.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: keep only this many likeliest tokens; 0 keeps all.
        top_p: keep only the likeliest tokens that together have this probability (nucleus sampling, Holtzman et al.
            2020); the likeliest is always kept.
        generator: the source of chance, on the device of `logits`.
    """
    if temperature == 0:
        return int(logits.argmax())
    below_best = (logits - logits.max()) / temperature  # at most 0, so that no temperature overflows
    probabilities, tokens = torch.softmax(below_best, dim=-1).sort(descending=True, stable=True)
    if top_k:
        probabilities = probabilities[:top_k]
    before = probabilities.cumsum(dim=-1) - probabilities
    allowed = probabilities.sum() * top_p
    kept = torch.where(before < allowed, probabilities, 0)
    return int(tokens[torch.multinomial(kept, 1, generator=generator)])
