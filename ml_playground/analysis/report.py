"""What a checkpoint has learnt: how well it fits, what it copies and knows by heart, how varied its texts are."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ml_playground.analysis.copies import Copying, alike, copies
from ml_playground.analysis.copying import Corpus
from ml_playground.analysis.fit import Bin, Calibration, by_frequency, by_position, calibration, token_counts
from ml_playground.analysis.memory import Completed, completed, passages
from ml_playground.analysis.scores import Scores, score, score_ids, token_text
from ml_playground.analysis.subject import Source, Subject
from ml_playground.analysis.variety import Variety, count_words, variety
from ml_playground.analysis.windows import full_windows
from ml_playground.config.sections import ReportConfig
from ml_playground.data.store import Tokens

VERSION = 2
"""To be raised with each change of what is measured or shown: a page of an earlier version is made again."""

ALTERNATIVES = 5


@dataclass(frozen=True)
class Fit:
    """Exact losses, in nats per token.

    Attributes:
        validation_tokens: how many were predicted, from the start of the validation text.
        training_tokens: the same of the training text, in windows that are spread evenly over it.
        bits_per_byte: validation loss in bits per UTF-8 byte of the raw text.
        entropy: mean of the distributions predicted on the validation text, in nats.
        by_position: validation loss by the number of tokens that a prediction sees.
        by_frequency: validation loss by how often the token occurs in the training text.
    """

    validation_loss: float
    validation_tokens: int
    training_loss: float
    training_tokens: int
    gap: float
    bits_per_byte: float
    validation_accuracy: float
    training_accuracy: float
    entropy: float
    by_position: list[Bin]
    by_frequency: list[Bin]
    calibration: Calibration


@dataclass(frozen=True)
class ShownToken:
    """A token: its text, its bits (None for the first, which nothing predicts) and what else was likely."""

    text: str
    bits: float | None
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True)
class ShownPassage:
    """A window of the validation text; `kind` is worst, median or best, `start` its first token in the text."""

    kind: str
    start: int
    loss: float
    tokens: list[ShownToken]


@dataclass(frozen=True)
class Report:
    """All of it. What is measured of the samples stands beside the same of the validation text.

    Attributes:
        name: of the run.
        probe: tokens from which documents were to be completed.
        has_documents: whether the data has documents; if not, windows are completed.
        samples: the texts that were generated.
    """

    name: str
    source: Source
    fit: Fit
    copied_samples: Copying
    copied_validation: Copying
    probe: int
    has_documents: bool
    memory_training: Completed
    memory_validation: Completed
    variety_samples: Variety
    variety_validation: Variety
    passages: list[ShownPassage]
    samples: list[str]

    def as_json(self) -> dict[str, Any]:
        """All values as JSON types."""
        return asdict(self)


Samples = Sequence[Sequence[int]]


def make_report(
    name: str,
    source: Source,
    subject: Subject,
    samples: Samples,
    settings: ReportConfig,
    progress: Callable[[str], None],
) -> Report:
    """Measure everything.

    Args:
        name: of the run.
        source: what it is made from.
        subject: the model with its data.
        samples: ids of texts that it generated, without the prompt.
        settings: the `[report]` section.
        progress: called with what is measured next.
    """
    data, tokenizer = subject.dataset, subject.dataset.tokenizer
    progress("fit")
    scores = score(subject.model, subject.evaluator, subject.runtime)
    fit = _fit(subject, scores)
    shown = _shown(subject, scores, settings.passages)
    progress("copying")
    generated = [np.array(each, dtype=np.int64) for each in samples]
    made, real = alike(generated, data)
    copied = copies(Corpus(data.train), made, real, settings.copy_lengths, tokenizer)
    progress("memory")
    # With the start token, which is not of the document.
    probe = min(settings.probe + (tokenizer.start_id is not None), max(1, subject.model.block_size // 2))
    memory = [_memory(subject, tokens, probe, settings) for tokens in (data.train, data.val)]
    progress("variety")
    texts, real_texts = ([tokenizer.decode(each.tolist()) for each in some] for some in (made, real))
    words = min(count_words(texts), count_words(real_texts))
    return Report(
        name=name,
        source=source,
        fit=fit,
        copied_samples=copied[0],
        copied_validation=copied[1],
        probe=probe - (tokenizer.start_id is not None),
        has_documents=tokenizer.start_id is not None,
        memory_training=memory[0],
        memory_validation=memory[1],
        variety_samples=variety(texts, words),
        variety_validation=variety(real_texts, words),
        passages=shown,
        samples=[tokenizer.decode(each.tolist()) for each in generated],
    )


def _fit(subject: Subject, scores: Scores) -> Fit:
    data = subject.dataset
    training = score(subject.model, subject.of_training_text(), subject.runtime)
    return Fit(
        validation_loss=scores.loss,
        validation_tokens=len(scores.nats),
        training_loss=training.loss,
        training_tokens=len(training.nats),
        gap=scores.loss - training.loss,
        bits_per_byte=subject.evaluator.bits_per_byte(scores.loss),
        validation_accuracy=float(scores.right.mean()),
        training_accuracy=float(training.right.mean()),
        entropy=float(scores.entropies.mean(dtype=np.float64)),
        by_position=by_position(scores),
        by_frequency=by_frequency(scores, token_counts(data.train, data.tokenizer.vocab_size)),
        calibration=calibration(scores),
    )


def _shown(subject: Subject, scores: Scores, count: int) -> list[ShownPassage]:
    """The worst, median and best windows, `count` of each, a window only once."""
    windows = full_windows(scores)
    order = np.argsort(windows.losses, kind="stable")
    middle = max(0, (len(order) - count) // 2)
    kinds = {"worst": order[::-1][:count], "median": order[middle : middle + count], "best": order[:count]}
    chosen: dict[int, str] = {}
    for kind, some in kinds.items():
        for window in some.tolist():
            chosen.setdefault(window, kind)
    return [
        _passage(subject, kind, int(windows.starts[window]), windows.length, float(windows.losses[window]))
        for window, kind in chosen.items()
    ]


def _passage(subject: Subject, kind: str, start: int, length: int, loss: float) -> ShownPassage:
    tokenizer = subject.dataset.tokenizer
    tokens = subject.dataset.val[start : start + length + 1]
    scores = score_ids(subject.model, tokens.tolist(), subject.runtime, top=ALTERNATIVES)
    shown = [ShownToken(token_text(tokenizer, int(tokens[0])), None, [])]
    for token, nats, ids, probabilities in zip(
        scores.ids, scores.nats, scores.top_ids, scores.top_probabilities, strict=True
    ):
        names = [token_text(tokenizer, int(each)) for each in ids]
        alternatives = list(zip(names, map(float, probabilities), strict=True))
        shown.append(ShownToken(token_text(tokenizer, int(token)), float(nats) / math.log(2), alternatives))
    return ShownPassage(kind, start, loss, shown)


def _memory(subject: Subject, tokens: Tokens, probe: int, settings: ReportConfig) -> Completed:
    tokenizer = subject.dataset.tokenizer
    documents = passages(
        tokens,
        start_id=tokenizer.start_id,
        longer_than=probe,
        at_most=min(subject.model.block_size, len(tokens)),
        count=settings.documents,
    )
    return completed(
        subject.model,
        documents,
        probe=probe,
        batch_size=settings.batch_size,
        vocab_size=tokenizer.vocab_size,
        runtime=subject.runtime,
    )
