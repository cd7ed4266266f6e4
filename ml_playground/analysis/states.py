"""What a model's hidden states hold: those of whole texts, of the vocabulary, and of each layer in terms of tokens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ml_playground.analysis.blocks import bypassed, run_blocks
from ml_playground.analysis.passage import evaluating, parts_of, row_of
from ml_playground.analysis.scores import Floats, Integers, Scores, scores_of
from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime

_TOKENS_AT_ONCE = 2**13
_LOGITS_AT_ONCE = 2**24  # 64 MiB in float32
_ROUNDING = 1e-2  # difference of logits, as a share of the largest, that rounding can cause in bfloat16


@dataclass(frozen=True)
class LayerReadings:
    """What each layer would predict in place of the tokens of a passage; N = T - 1, as nothing predicts the first.

    Layer 0 is the residual stream before the first block, layer l that after block l. Column n is about `ids[n + 1]`.

    Attributes:
        nats: loss of each token (L + 1, N).
        top_ids: the K likeliest tokens, the likeliest first (L + 1, N, K).
        top_probabilities: their probabilities (L + 1, N, K).
    """

    nats: Floats
    top_ids: Integers
    top_probabilities: Floats


@torch.no_grad()
def layer_readings(model: LanguageModel, ids: Sequence[int], runtime: Runtime, top: int) -> LayerReadings:
    """Read the residual stream of a passage through the final norm and the head (logit lens, nostalgebraist 2020).

    Whatever the model does after its last block it does to the stream of each layer: the last layer's readings are
    the model's own predictions.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        ids: at least 2 and at most `block_size` + 1 tokens.
        runtime: device and number format.
        top: how many of the likeliest tokens to keep (K); all, if there are fewer.

    Raises:
        AnalysisError: the model is not a stack of blocks.
    """
    if len(ids) < 2:
        raise ValueError(f"{len(ids)} tokens: expected at least 2")
    row, wanted = row_of(ids[:-1], model, runtime), torch.as_tensor(ids[1:], device=runtime.device)
    with evaluating(model):
        blocks, own = run_blocks(model, row, runtime)
        streams = torch.cat([blocks[0].before, *(block.after for block in blocks)])  # (L + 1, T, C)
        read: list[Scores] = []
        last = own
        for some in torch.split(streams, max(1, _LOGITS_AT_ONCE // own[0].numel())):
            with bypassed(blocks, some), runtime.autocast():
                logits: Tensor = model(row.expand(len(some), -1))  # (B, N, V)
            read += [_scores(layer, wanted, top) for layer in logits]
            last = logits[-1:]
    if not torch.allclose(last, own, rtol=0, atol=_ROUNDING * float(own.abs().max())):
        raise AnalysisError(
            "this model's residual stream cannot be read layer by layer: what it predicts is not a function of its "
            "last block's output alone."
        )
    return LayerReadings(
        nats=np.stack([each.nats for each in read]),
        top_ids=np.stack([each.top_ids for each in read]),
        top_probabilities=np.stack([each.top_probabilities for each in read]),
    )


def _scores(logits: Tensor, wanted: Tensor, top: int) -> Scores:
    return scores_of(logits.float(), wanted, torch.arange(len(wanted)), min(top, logits.shape[-1]))


@torch.no_grad()
def pooled_states(model: LanguageModel, texts: Sequence[Sequence[int]], runtime: Runtime) -> Floats:
    """The mean over each text's tokens of the last hidden states, which the head takes: shape (N, C), float32.

    Of a model that cannot be split into body and head (see `LanguageModel.split`) it is the output of the last block.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        texts: token ids; those longer than `block_size` are cut into windows. The mean of no tokens is 0.
        runtime: device and number format.

    Raises:
        AnalysisError: the model neither can be split nor is a stack of blocks.
    """
    size = model.block_size
    windows = [(index, text[at : at + size]) for index, text in enumerate(texts) for at in range(0, len(text), size)]
    windows.sort(key=lambda each: len(each[1]))  # so that those of one batch are about as long
    with evaluating(model):
        body = _body(model, runtime)
        width = body(torch.zeros(1, 1, dtype=torch.int64, device=runtime.device)).shape[-1]
        sums = np.zeros((len(texts), width), dtype=np.float64)
        for some in _batches(windows):
            ids, mask = _padded([ids for _, ids in some])
            states = body(ids.to(runtime.device)).float()  # (B, T, C)
            of_windows = (states * mask[..., None].to(states.device)).sum(dim=1, dtype=torch.float64)
            np.add.at(sums, [index for index, _ in some], of_windows.cpu().numpy())
    lengths = np.array([max(1, len(text)) for text in texts])
    means: Floats = (sums / lengths[:, None]).astype(np.float32)
    return means


def _body(model: LanguageModel, runtime: Runtime) -> Callable[[Tensor], Tensor]:
    """From ids (B, T) to the last hidden states (B, T, C)."""
    parts = parts_of(model)
    if parts is not None:
        body, _ = parts

        def run(ids: Tensor) -> Tensor:
            with runtime.autocast():
                return body(ids)

        return run
    return lambda ids: run_blocks(model, ids, runtime)[0][-1].after


def _batches(windows: Sequence[tuple[int, Sequence[int]]]) -> Iterator[list[tuple[int, Sequence[int]]]]:
    """Of windows that become longer, as many at once as memory allows."""
    batch: list[tuple[int, Sequence[int]]] = []
    for window in windows:
        if batch and (len(batch) + 1) * len(window[1]) > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The rows with id 0 after their ends (B, T), which no earlier position sees, and where their own ids are."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    return ids, mask


@torch.no_grad()
def token_table(model: LanguageModel) -> Floats:
    """The vectors of all ids as the model embeds them, without what their positions add: shape (V, C), float32.

    Raises:
        AnalysisError: the model has no table of embeddings.
    """
    embedding = model.token_embedding()
    if embedding is None:
        raise AnalysisError(
            "this model has no nn.Embedding with a row for each token. If the model is your own, use one, or override "
            "token_embedding()."
        )
    device = next(model.parameters()).device
    vectors: Tensor = embedding(torch.arange(model.vocab_size, device=device)[None])
    return vectors[0].float().cpu().numpy()
