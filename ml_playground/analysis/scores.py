"""Loss and rank of each token of a text, the entropy of its prediction, and the likeliest tokens instead."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ml_playground.analysis.passage import evaluating
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.evaluation import Evaluator, Rows
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime

_LOGITS_AT_ONCE = 2**23  # 32 MiB in float32, of which several copies are needed

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """The loss, rank and alternatives of N tokens, in the order of the text.

    Attributes:
        ids: the tokens that were predicted (N,).
        nats: loss of each, in nats (N,).
        ranks: how many tokens were likelier than each (N,).
        entropies: of each predicted distribution, in nats (N,).
        confidences: probability of each likeliest token (N,).
        positions: tokens before each in its window, less 1 (N,).
        top_ids: the K likeliest tokens in place of each, the likeliest first (N, K).
        top_probabilities: their probabilities (N, K).
    """

    ids: Integers
    nats: Floats
    ranks: Integers
    entropies: Floats
    confidences: Floats
    positions: Integers
    top_ids: Integers
    top_probabilities: Floats

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which tokens were the likeliest prediction (N,)."""
        right: npt.NDArray[np.bool_] = self.ranks == 0
        return right

    @property
    def loss(self) -> float:
        """Mean in nats per token, summed in float64."""
        return float(self.nats.mean(dtype=np.float64))


@torch.no_grad()
def score(model: LanguageModel, evaluator: Evaluator, runtime: Runtime, *, top: int = 0) -> Scores:
    """Score every token that `evaluator` predicts, in its windows: the nats add up to its loss.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        evaluator: the text, cut into windows.
        runtime: device and number format.
        top: how many of the likeliest tokens to keep in place of each (K); all, if there are fewer.
    """
    with evaluating(model):
        pieces = [piece for rows in evaluator.batches() for piece in _scored(model, rows, runtime, top)]
    columns = {each.name: np.concatenate([getattr(piece, each.name) for piece in pieces]) for each in fields(Scores)}
    return Scores(**columns)


def score_ids(model: LanguageModel, ids: Sequence[int], runtime: Runtime, *, top: int = 0) -> Scores:
    """Score each token of a passage but the first, which nothing predicts. The rest is as in `score`.

    A passage that is longer than the model's context is cut into windows as validation text is.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        ids: at least 2 tokens.
        runtime: device and number format.
        top: see `score`.

    Raises:
        ValueError: there is nothing to predict.
    """
    if len(ids) < 2:
        raise ValueError(f"{len(ids)} tokens: expected at least 2")
    tokens = np.asarray(ids, dtype=np.uint32)
    context = min(model.block_size, len(ids) - 1)
    return score(model, Evaluator(tokens, text_bytes=1, vocab_size=model.vocab_size, context=context), runtime, top=top)


def _scored(model: LanguageModel, rows: Rows, runtime: Runtime, top: int) -> Iterator[Scores]:
    with runtime.autocast():
        logits: Tensor = model(rows.inputs.to(runtime.device))  # (B, T, V)
    width = logits.shape[1]
    logits = logits[:, -rows.counted :].flatten(0, 1)  # (N, V)
    wanted = rows.targets[:, -rows.counted :].flatten().to(runtime.device)  # (N,)
    positions = torch.arange(width - rows.counted, width).repeat(len(rows.inputs))  # (N,)
    at_once = max(1, _LOGITS_AT_ONCE // logits.shape[1])
    pieces = (torch.split(each, at_once) for each in (logits, wanted, positions))
    for some, ids, places in zip(*pieces, strict=True):
        yield scores_of(some.float(), ids, places, min(top, logits.shape[1]))


def scores_of(logits: Tensor, ids: Tensor, positions: Tensor, top: int) -> Scores:
    """Scores of `ids` (N,) at `positions` (N,), on the CPU, given float32 `logits` (N, V); `top` is at most V."""
    logs = F.log_softmax(logits, dim=-1)
    probabilities = logs.exp()
    likeliest = probabilities.topk(top, dim=-1)
    own = logits.gather(1, ids[:, None])
    better = (logits > own).sum(dim=-1)
    # A tie counts as right where the evaluator counts it: for the first of the likeliest.
    first = logits.argmax(dim=-1)
    better += (better == 0) & (first != ids)
    entropies = -(probabilities * logs).sum(dim=-1)
    return Scores(
        ids=ids.cpu().numpy(),
        nats=F.cross_entropy(logits, ids, reduction="none").cpu().numpy(),
        ranks=better.cpu().numpy(),
        entropies=entropies.cpu().numpy(),
        confidences=probabilities.amax(dim=-1).cpu().numpy(),
        positions=positions.numpy(),
        top_ids=likeliest.indices.cpu().numpy(),
        top_probabilities=likeliest.values.cpu().numpy(),
    )


def token_text(tokenizer: Tokenizer, token: int) -> str:
    r"""How to show a token by itself: its text, with bytes that are only part of a character as `\xe2`.

    Tokens that stand for no text show their name where it is known, otherwise their number.
    """
    if token >= tokenizer.vocab_size:  # padding of the vocabulary
        return f"<{token}>"
    if raw := tokenizer.token_bytes(token):
        return raw.decode(errors="backslashreplace")
    end = tokenizer.end_of_text()
    return end[0] if end is not None and end[1] == token else f"<{token}>"
