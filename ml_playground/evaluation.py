"""Exact validation: every token of the split predicted once, in fixed windows. Same model, same number."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
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
    """

    loss: float
    bits_per_byte: float
    accuracy: float
    tokens: int

    def __str__(self) -> str:
        return f"{self.loss:.4f} nats/token, {self.bits_per_byte:.4f} bits/byte over {self.tokens:,} tokens"


class Evaluator:
    """Measures models on one validation text.

    Bits per byte are the loss of all predictions in the split, divided by the bytes of its raw text: whatever its
    tokens are and whatever stands between its documents, the text has the same bytes. Where only some windows are
    used, they stand for the rest: their mean loss is taken for that of all predictions.
    """

    def __init__(self, tokens: Tokens, *, text_bytes: int, vocab_size: int, block_size: int, max_windows: int) -> None:
        """Cut the text into windows.

        Args:
            tokens: the validation split, shape (N,).
            text_bytes: bytes in UTF-8 of the raw text that they stand for, as the manifest has them.
            vocab_size: number of ids.
            block_size: predictions per window; the last one may be shorter.
            max_windows: use only this many windows from the start; 0 uses all.

        Raises:
            DataError: there is nothing to predict.
        """
        length = len(tokens) if not max_windows else min(len(tokens), max_windows * block_size + 1)
        if length < 2:
            raise DataError(f"the validation text has {len(tokens)} tokens, at least 2 are needed. Add text.")
        self._tokens = tokens[:length]
        self._predictions_per_byte = (len(tokens) - 1) / text_bytes
        self._block_size = block_size
        self._rows = max(1, min(_TOKENS_AT_ONCE, _LOGITS_AT_ONCE // vocab_size) // block_size)

    def __call__(
        self, model: LanguageModel, runtime: Runtime, *, stop: Callable[[], bool] = lambda: False
    ) -> Evaluation | None:
        """Evaluate `model`, leaving it in the mode in which it was; None if `stop()` came true in between."""
        training = model.training
        model.eval()
        try:
            nats, right = 0.0, 0
            for inputs, targets in self._batches():
                if stop():
                    return None
                more = _scored(model, inputs.to(runtime.device), targets.to(runtime.device), runtime)
                nats, right = nats + more[0], right + more[1]
        finally:
            model.train(training)
        count = len(self._tokens) - 1
        loss = nats / count
        bits_per_byte = loss / math.log(2) * self._predictions_per_byte
        return Evaluation(loss, bits_per_byte, right / count, count)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets (B, T): all full windows, then the shorter last one by itself."""
        size, count = self._block_size, len(self._tokens) - 1
        full = count // size * size
        for start in range(0, full, self._rows * size):
            end = min(start + self._rows * size, full)
            yield self._pair(start, end, size)
        if full < count:
            yield self._pair(full, count, count - full)

    def _pair(self, start: int, end: int, size: int) -> tuple[Tensor, Tensor]:
        """The predictions of tokens start + 1 to end, in rows of `size`."""
        ids = torch.as_tensor(self._tokens[start : end + 1].astype(np.int64))
        return ids[:-1].view(-1, size), ids[1:].view(-1, size)


@torch.no_grad()
def _scored(model: LanguageModel, inputs: Tensor, targets: Tensor, runtime: Runtime) -> tuple[float, int]:
    """Sum of the loss in nats, and how many of `targets` were the likeliest.

    Rows are added up in float64 so that the number of rows at once does not matter.
    """
    with runtime.autocast():
        logits = model(inputs)  # (B, T, V)
    logits, wanted = logits.float().flatten(0, 1), targets.flatten()  # (B * T, V), (B * T,)
    losses = F.cross_entropy(logits, wanted, reduction="none")  # (B * T,)
    right = (logits.argmax(dim=1) == wanted).sum()
    return float(losses.view(targets.shape).sum(dim=1).cpu().double().sum()), int(right)
