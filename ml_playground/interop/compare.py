"""Compares a model with the same model in Transformers, on validation text."""

# pyright: reportUnknownMemberType=false
# Transformers leaves some types out.

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ml_playground.data.store import Tokens
from ml_playground.data.tokenizers.base import Tokenizer


def validation_windows(val: Tokens, length: int, most: int) -> list[Tensor]:
    """The first windows of a validation split, at most `most`, shape (1, T) each; T is `length` or all there is."""
    length = min(length, len(val))
    starts = range(0, min(len(val) - length + 1, most * length), length)
    return [torch.tensor(val[None, first : first + length].astype("int64")) for first in starts]


@torch.inference_mode()
def logits_on(model: Callable[[Tensor], Tensor], windows: Iterable[Tensor]) -> Iterator[Tensor]:
    """A model's logits (1, T, V) on each window."""
    for ids in windows:
        yield model(ids)


def largest_difference(ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> float:
    """Between logits, over the ids that both have (a vocabulary may be padded here); NaN if a logit is NaN."""
    differences = [(one[..., : other.shape[-1]] - other).abs().max() for one, other in zip(ours, theirs, strict=True)]
    return float(torch.stack(differences).max())  # Python's max would overlook a NaN


def same_tokens(
    theirs: PreTrainedTokenizerBase, ours: Tokenizer, text: str, *, add_special_tokens: bool = False
) -> bool:
    """Whether both tokenizers split `text` alike, in which names of special tokens are text as any other.

    Args:
        theirs: Transformers' tokenizer.
        ours: the one here.
        text: what to split.
        add_special_tokens: also let Transformers add its default tokens before and after a text.
    """
    ids = theirs.encode(text, add_special_tokens=add_special_tokens, split_special_tokens=True)
    same: bool = ids == ours.encode(text).tolist()
    return same
