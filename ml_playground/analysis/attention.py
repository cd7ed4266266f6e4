"""Which earlier tokens each token attends to, by layer and head."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ml_playground.analysis.passage import evaluating, row_of
from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime

_SOFTMAXES = (F.softmax, torch.softmax, Tensor.softmax)


@torch.no_grad()
def attention_weights(model: LanguageModel, ids: Sequence[int], runtime: Runtime) -> npt.NDArray[np.float32]:
    """The attention weights of a passage: shape (layers, heads, T, T), query by key; each row sums to 1.

    They are read off while the model computes: from the queries and keys of each call of torch's
    `scaled_dot_product_attention`, or from a softmax over all pairs of positions. So they are those of any model that
    uses one of them, with whatever rotation, bias or window; the model itself stays as it is.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        ids: at least 1 and at most `block_size` tokens.
        runtime: device and number format.

    Raises:
        AnalysisError: the model computes attention in another way or has none, or its layers differ in their heads.
    """
    row = row_of(ids, model, runtime)
    with evaluating(model), _Recorder(len(ids)) as recorder, runtime.autocast():
        model(row)
    layers = recorder.layers
    if not layers:
        raise AnalysisError(
            "this model's attention cannot be read: it calls neither torch's scaled_dot_product_attention nor a "
            "softmax over scores of the shape (B, heads, T, T). If the model is your own, use one of these."
        )
    heads = [len(layer) for layer in layers]
    if len(set(heads)) > 1:
        raise AnalysisError(f"this model's attention cannot be shown: its layers have {heads} heads, not all the same.")
    return torch.stack(layers).numpy()


class _Recorder(TorchFunctionMode):
    """A block in which the weights of all attention over `length` positions are collected, (H, T, T) per layer."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._shape = (length, length)
        self.layers: list[Tensor] = []

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
            self.layers.append(weights[0].float().cpu())


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
