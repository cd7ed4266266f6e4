"""What of the samples occurs in the training text, beside the same of as many texts that are not copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ml_playground.analysis.copying import Copied, Corpus
from ml_playground.analysis.memory import passages
from ml_playground.analysis.scores import Integers
from ml_playground.data.store import Dataset
from ml_playground.data.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class PassageShare:
    """How many passages of `length` tokens occur in the training text; None where there are none."""

    length: int
    windows: int
    share: float | None


@dataclass(frozen=True)
class Copying:
    """What of some texts occurs in the training text, in tokens.

    Attributes:
        texts: how many were looked up.
        tokens: their mean length.
        median: of the longest passages of all texts.
        percentile_95: the same, which 5% of the texts surpass.
        longest: of all.
        passage: the text of the longest.
        whole: how many texts occur as a whole.
        shares: of passages of some lengths.
    """

    texts: int
    tokens: float
    median: float
    percentile_95: float
    longest: int
    passage: str
    whole: int
    shares: list[PassageShare]


def alike(made: Sequence[Integers], data: Dataset) -> tuple[list[Integers], list[Integers]]:
    """Those that were `made`, and as many texts of the same lengths, spread evenly over the validation text.

    Of more texts a longer passage is found by chance. So where the validation text has fewer or shorter ones, those
    that were made are left out or cut.
    """
    start_id, special = data.tokenizer.start_id, list(data.tokenizer.special_ids())
    longest = max(1, min(max(map(len, made)) + (start_id is not None), len(data.val)))
    take = partial(passages, data.val, start_id=start_id, at_most=longest, count=len(made))
    taken = take(longer_than=longest - 1)
    if len(taken) < len(made):
        taken = take(longer_than=1) or [np.asarray(data.val).astype(np.int64)]
    plain = sorted((each[~np.isin(each, special)] for each in taken), key=len)
    kept = made[: len(plain)]
    by_length = sorted(range(len(kept)), key=lambda index: len(kept[index]))  # so that little has to be cut
    real = dict(zip(by_length, plain, strict=True))
    lengths = [min(len(text), len(real[index])) for index, text in enumerate(kept)]
    return (
        [text[:length] for text, length in zip(kept, lengths, strict=True)],
        [real[index][:length] for index, length in enumerate(lengths)],
    )


def copies(
    corpus: Corpus, made: list[Integers], real: list[Integers], lengths: Sequence[int], tokenizer: Tokenizer
) -> tuple[Copying, Copying]:
    """That of what was `made`, and of `real` text: both are looked up at once."""
    lengths, both = sorted(set(lengths)), [*made, *real]
    longest, windows = corpus.longest(both), corpus.windows_found(both, lengths)
    count = len(made)
    return (
        _summary(made, longest[:count], windows[:count], lengths, tokenizer),
        _summary(real, longest[count:], windows[count:], lengths, tokenizer),
    )


def _summary(
    texts: list[Integers], found: list[Copied], hits: list[list[int]], lengths: Sequence[int], tokenizer: Tokenizer
) -> Copying:
    counts, sizes = [each.length for each in found], [len(text) for text in texts]
    where, text = max(zip(found, texts, strict=True), key=lambda pair: pair[0].length)
    shares: list[PassageShare] = []
    for length, here in zip(lengths, zip(*hits, strict=True), strict=True):
        windows = sum(max(0, size - length + 1) for size in sizes)
        shares.append(PassageShare(length, windows, sum(here) / windows if windows else None))
    return Copying(
        texts=len(texts),
        tokens=float(np.mean(sizes)),
        median=float(np.median(counts)),
        percentile_95=float(np.percentile(counts, 95)),
        longest=where.length,
        passage=tokenizer.decode(text[where.start : where.start + where.length].tolist()),
        whole=sum(count == size > 0 for count, size in zip(counts, sizes, strict=True)),
        shares=shares,
    )
