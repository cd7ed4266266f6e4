"""Which documents a model completes word for word from their first tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ml_playground.analysis.scores import Integers
from ml_playground.data.store import Tokens
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime


@dataclass(frozen=True)
class Completed:
    """How well the documents of one text were completed.

    Attributes:
        documents: how many were tried.
        whole: how many were completed word for word, to their end or that of the model's window.
        right: mean number of tokens that were right before the first that was not; None without documents.
        asked: mean number of tokens to complete; None without documents.
    """

    documents: int
    whole: int
    right: float | None
    asked: float | None

    @property
    def share(self) -> float | None:
        """Of the documents, those completed word for word; None without documents."""
        return self.whole / self.documents if self.documents else None


def passages(tokens: Tokens, *, start_id: int | None, longer_than: int, at_most: int, count: int) -> list[Integers]:
    """Documents to complete, spread evenly over a text; windows of it where it has no documents.

    Args:
        tokens: the text (N,).
        start_id: the token that each document begins with; None if there are none.
        longer_than: those that have no more tokens than this are left out.
        at_most: tokens that are taken of each, from its beginning.
        count: how many to take, if there are as many.
    """
    if start_id is None:
        starts = np.arange(0, len(tokens) - at_most + 1, at_most)
        ends = starts + at_most
    else:
        starts = np.flatnonzero(np.asarray(tokens == start_id))
        ends = np.append(starts[1:], len(tokens))[: len(starts)]
    long_enough = ends - starts > longer_than
    starts, ends = starts[long_enough], np.minimum(ends, starts + at_most)[long_enough]
    taken = evenly(len(starts), count)
    return [np.asarray(tokens[starts[at] : ends[at]]).astype(np.int64) for at in taken]


def evenly(total: int, count: int) -> Integers:
    """The indices of `count` things spread evenly over `total`, of all if there are fewer."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(np.int64))


def completed(
    model: LanguageModel,
    documents: Sequence[Integers],
    *,
    probe: int,
    batch_size: int,
    vocab_size: int,
    runtime: Runtime,
) -> Completed:
    """Complete documents greedily.

    Args:
        model: in evaluation mode, on the runtime's device.
        documents: each has more than `probe` and at most `block_size` tokens.
        probe: tokens at the beginning of each that the model gets.
        batch_size: documents at once.
        vocab_size: number of ids of the tokenizer; those of a model beyond it are padding.
        runtime: device and number format.
    """
    right: list[int] = []
    asked = [len(document) - probe for document in documents]
    by_length = sorted(documents, key=len)  # so that those of one batch are about as long
    for first in range(0, len(by_length), batch_size):
        some = by_length[first : first + batch_size]
        prompts = torch.as_tensor(np.stack([each[:probe] for each in some]), device=runtime.device)
        made = _continued(model, prompts, len(some[-1]) - probe, vocab_size, runtime)
        right += [_agreeing(each[probe:], row) for each, row in zip(some, made, strict=True)]
    whole = sum(count == len(each) - probe for count, each in zip(right, by_length, strict=True))
    if not documents:
        return Completed(0, 0, None, None)
    return Completed(len(documents), whole, sum(right) / len(right), sum(asked) / len(asked))


@torch.inference_mode()
def _continued(model: LanguageModel, prompts: Tensor, count: int, vocab_size: int, runtime: Runtime) -> Integers:
    """The likeliest `count` tokens after each of `prompts` (B, T), one after the other: shape (B, count)."""
    cache, unread = model.new_cache(len(prompts)), prompts
    made: list[Tensor] = []
    for _ in range(count):
        with runtime.autocast():
            logits = model.extend(unread, cache)
        unread = logits[:, :vocab_size].argmax(dim=-1)[:, None]
        made.append(unread)
    return torch.cat(made, dim=1).cpu().numpy()


def _agreeing(wanted: Integers, made: Integers) -> int:
    """How many tokens agree before the first that does not."""
    different = np.flatnonzero(wanted != made[: len(wanted)])
    return int(different[0]) if len(different) else len(wanted)
