"""Exact validation: every token of the split predicted once, in fixed windows. Same model, same number."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ml_playground.data.store import Tokens
from ml_playground.errors import DataError
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime

# At once, so that memory stays small on a laptop and the machine is kept busy all the same.
_TOKENS_AT_ONCE = 2**13
_LOGITS_AT_ONCE = 2**26  # 256 MiB in float32


@dataclass(frozen=True)
class Evaluation:
    """What `tokens` predictions are worth.

    Attributes:
        loss: in nats per token.
        bits_per_byte: the same in bits per UTF-8 byte of the raw text.
        accuracy: share of the tokens that were the likeliest prediction, 0 to 1.
        tokens: how many were predicted.
        windows: what the predictions of each window sum to, in nats, shape (W,), in the order of the text.
            `run.windows.predictions` has their number.
    """

    loss: float
    bits_per_byte: float
    accuracy: float
    tokens: int
    windows: npt.NDArray[np.float64] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.loss:.4f} nats/token, {self.bits_per_byte:.4f} bits/byte over {self.tokens:,} tokens"


class Rows(NamedTuple):
    """Windows to compute at once.

    Attributes:
        inputs: token ids (B, T).
        targets: the ids that follow them (B, T).
        counted: how many predictions of each window count, the last ones: those before were counted elsewhere.
    """

    inputs: Tensor
    targets: Tensor
    counted: int


class _Score(NamedTuple):
    """What the predictions of some windows are worth.

    Attributes:
        nats: all of them together.
        right: how many targets were the likeliest.
        windows: nats of each window (B,).
    """

    nats: float
    right: int
    windows: npt.NDArray[np.float64]


class Evaluator:
    """Measures models on one validation text.

    Bits per byte are the loss of all predictions in the split, divided by the bytes of its raw text: whatever its
    tokens are and whatever stands between its documents, the text has the same bytes. Where only the beginning is
    used, it stands for the rest: its mean loss is taken for that of all predictions.

    Attributes:
        predictions: how many tokens are predicted.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        text_bytes: int,
        vocab_size: int,
        context: int,
        stride: int | None = None,
        max_tokens: int = 0,
        spread: bool = False,
    ) -> None:
        """Cut the text into windows.

        Args:
            tokens: the validation split, shape (N,).
            text_bytes: bytes in UTF-8 of the raw text that they stand for, as the manifest has them.
            vocab_size: number of ids.
            context: inputs per window.
            stride: tokens from one window to the next, at most `context`, which is the default. Every token is
                predicted once, in the window that gives it most tokens before it: at least `context - stride`, except
                in the first window. With the default the last window may be shorter.
            max_tokens: predict only this many from the start; 0 predicts all.
            spread: take the windows of `max_tokens` evenly from the whole text instead; they cannot overlap then.

        Raises:
            DataError: there is nothing to predict.
        """
        length = len(tokens) if not max_tokens else min(len(tokens), max_tokens + 1)
        if length < 2:
            raise DataError(f"the validation text has {len(tokens)} tokens, at least 2 are needed. Add text.")
        self._tokens = tokens if spread else tokens[:length]
        self.predictions = length - 1
        self._predictions_per_byte = (len(tokens) - 1) / text_bytes
        self._context = context
        # Tokens that are skipped after each window.
        self._gap = (len(tokens) - length) // max(1, (self.predictions - 1) // context) if spread else 0
        self._stride = context if stride is None else stride
        self._rows = max(1, min(_TOKENS_AT_ONCE, _LOGITS_AT_ONCE // vocab_size) // context)

    def __call__(
        self, model: LanguageModel, runtime: Runtime, *, stop: Callable[[], bool] = lambda: False
    ) -> Evaluation | None:
        """Evaluate `model`, leaving it in the mode in which it was; None if `stop()` came true in between."""
        training = model.training
        model.eval()
        try:
            nats, right = 0.0, 0
            windows: list[npt.NDArray[np.float64]] = []
            for rows in self.batches():
                if stop():
                    return None
                score = _scored(model, rows, runtime)
                nats, right = nats + score.nats, right + score.right
                windows.append(score.windows)
        finally:
            model.train(training)
        count = self.predictions
        loss = nats / count
        return Evaluation(loss, self.bits_per_byte(loss), right / count, count, np.concatenate(windows))

    def bits_per_byte(self, loss: float) -> float:
        """A loss in nats per token, in bits per UTF-8 byte of the raw text."""
        return loss / math.log(2) * self._predictions_per_byte

    def batches(self) -> Iterator[Rows]:
        """All windows in the order of the text, several of one shape at once."""
        count = self.predictions
        context = min(self._context, count)
        stride = min(self._stride, context)
        counted = 0
        if stride < context:  # of the first window all predictions count, of the others those that are new
            yield self._pair(np.array([0]), context, context)
            counted = context
        starts = np.arange(counted + stride - context, count - context + 1, stride)
        for at in range(0, len(starts), self._rows):
            yield self._pair(starts[at : at + self._rows], context, stride)
        counted += stride * len(starts)
        if counted < count:
            left = count - counted
            width = context if stride < context else left
            yield self._pair(np.array([count - width]), width, left)

    def _pair(self, starts: npt.NDArray[np.int64], width: int, counted: int) -> Rows:
        """The windows of `width` inputs that begin at `starts`, where nothing is skipped before them."""
        starts = starts + starts // self._context * self._gap
        windows = np.lib.stride_tricks.sliding_window_view(self._tokens, width + 1)[starts]  # (B, T + 1)
        ids = torch.as_tensor(windows.astype(np.int64))
        return Rows(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), counted)


@torch.no_grad()
def _scored(model: LanguageModel, rows: Rows, runtime: Runtime) -> _Score:
    """What the predictions of `rows` that count are worth.

    Rows are added up in float64 so that the number of rows at once does not matter.
    """
    inputs, targets = rows.inputs.to(runtime.device), rows.targets.to(runtime.device)
    with runtime.autocast():
        logits = model(inputs)  # (B, T, V)
    logits, targets = logits[:, -rows.counted :], targets[:, -rows.counted :]
    logits, wanted = logits.float().flatten(0, 1), targets.flatten()  # (B * T, V), (B * T,)
    losses = F.cross_entropy(logits, wanted, reduction="none")  # (B * T,)
    right = (logits.argmax(dim=1) == wanted).sum()
    windows = losses.view(targets.shape).sum(dim=1).cpu().double()  # (B,)
    return _Score(float(windows.sum()), int(right), windows.numpy())
