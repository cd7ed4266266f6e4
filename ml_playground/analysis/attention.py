"""Which earlier tokens each token attends to, by layer and head."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ml_playground.analysis.blocks import Block, BlockCalls
from ml_playground.analysis.passage import evaluating, row_of
from ml_playground.analysis.scores import Floats
from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime

_SOFTMAXES = (F.softmax, torch.softmax, Tensor.softmax)


T = TypeVar("T")


@torch.no_grad()
def attention_layers(
    model: LanguageModel, ids: Sequence[int], runtime: Runtime, reduce: Callable[[Floats], T]
) -> list[tuple[int, T]]:
    """What `reduce` makes of the attention weights of a passage, one layer after the other.

    The weights are read off while the model computes: from the queries and keys of each call of torch's
    `scaled_dot_product_attention`, or from a softmax over all pairs of positions. So they are those of any model that
    uses one of them, with whatever rotation, bias or window; the model itself stays as it is.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        ids: at least 1 and at most `block_size` tokens.
        runtime: device and number format.
        reduce: called with the weights of a layer as soon as they are known: shape (H, T, T), head by query by key,
            float32; each row sums to 1. Only what it returns is kept.

    Returns:
        For each layer that has attention, its number and what `reduce` returned. Layers are numbered from 1 as the
        model's blocks are (see `BlockCalls`), some of which may have none. Where a model is not a stack of blocks with
        at most one attention each, only those with attention count.

    Raises:
        AnalysisError: the model computes attention in another way or has none, or its layers differ in their heads.
    """
    row = row_of(ids, model, runtime)
    with (
        evaluating(model),
        BlockCalls(model, shapes_only=True) as calls,
        _Recorder(len(ids), calls, reduce) as recorder,
        runtime.autocast(),
    ):
        model(row)
    if not recorder.reduced:
        raise AnalysisError(
            "this model's attention cannot be read: it calls neither torch's scaled_dot_product_attention nor a "
            "softmax over scores of the shape (B, heads, T, T). If the model is your own, use one of these."
        )
    if len(set(recorder.heads)) > 1:
        raise AnalysisError(
            f"this model's attention cannot be shown: its layers have {recorder.heads} heads, not all the same."
        )
    return list(zip(_numbers(calls.blocks(), recorder.within), recorder.reduced, strict=True))


def attention_weights(model: LanguageModel, ids: Sequence[int], runtime: Runtime) -> Floats:
    """All attention weights of a passage at once: shape (layers, heads, T, T); the rest is as in `attention_layers`."""
    return np.stack([weights for _, weights in attention_layers(model, ids, runtime, lambda weights: weights)])


def _numbers(blocks: Sequence[Block], within: Sequence[Sequence[nn.Module]]) -> Sequence[int]:
    """The number of each layer, given which modules were running when it computed its attention."""
    places = {block.module: number for number, block in enumerate(blocks, start=1)}
    numbers = [places[module] for modules in within for module in modules if module in places]
    by_block = len(numbers) == len(within) == len(set(numbers))
    return numbers if by_block else range(1, len(within) + 1)


class _Recorder(TorchFunctionMode, Generic[T]):
    """A block in which the weights of all attention over `length` positions are reduced, layer by layer.

    Attributes:
        reduced: what `reduce` returned for each layer.
        heads: how many each layer has.
        within: which modules were running, the outermost first.
    """

    def __init__(self, length: int, calls: BlockCalls, reduce: Callable[[Floats], T]) -> None:
        super().__init__()
        self._shape, self._calls, self._reduce = (length, length), calls, reduce
        self.reduced: list[T] = []
        self.heads: list[int] = []
        self.within: list[list[nn.Module]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options: dict[str, Any] = kwargs or {}
        made = func(*args, **options)
        if func is F.scaled_dot_product_attention:
            self._keep(_weights(*args, **options))
        elif func in _SOFTMAXES:
            self._keep(made)
        return made

    def _keep(self, weights: Tensor) -> None:
        if weights.dim() == 4 and len(weights) == 1 and weights.shape[2:] == self._shape:
            self.reduced.append(self._reduce(weights[0].float().cpu().numpy()))
            self.heads.append(weights.shape[1])
            self.within.append(list(self._calls.running))


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,  # noqa: ARG001 -- the parameters are those of torch's function
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 -- as above
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The weights (B, H, T, S) that torch's `scaled_dot_product_attention` gives the values, in float32.

    It takes its inputs in the number format of autocast, and adds up in float32.
    """
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        query, key = query.to(dtype), key.to(dtype)
        if attn_mask is not None and attn_mask.is_floating_point():
            attn_mask = attn_mask.to(dtype)
    with torch.autocast(kind, enabled=False):
        return _softmax(query.float(), key.float(), attn_mask, is_causal, scale, enable_gqa)


def _softmax(
    query: Tensor, key: Tensor, attn_mask: Tensor | None, is_causal: bool, scale: float | None, enable_gqa: bool
) -> Tensor:
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    scores = query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale) @ key.mT
    if is_causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1)
