"""How much each token of a passage matters to the prediction of others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.analysis.passage import Parts, evaluating, fits_forward, parts_of, row_of
from ml_playground.analysis.scores import Floats, Integers
from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel
from ml_playground.models.cache import Cache
from ml_playground.runtime import Runtime

SALIENCES = {
    "grad_l2": "length of the loss's gradient at a token's embedding: how much a small change of it would matter, "
    "without a sign (Simonyan et al. 2014)",
    "grad_dot_input": "the loss's gradient at a token's embedding times that embedding: below 0 where more of it would "
    "make the targets likelier (Shrikumar et al. 2017)",
    "erasure": "by how many nats the targets' loss rises when a token is left out, computed anew: above 0 where the "
    "token helps (Li et al. 2016)",
}
"""The ways to measure it, each with what it means."""

_ROWS = 16  # texts without one token at once: all of them begin where the first one differs
_CACHED_AT_ONCE = 2**12  # tokens for which keys and values are kept
_LOGITS_AT_ONCE = 2**24  # 64 MiB in float32


@dataclass(frozen=True)
class GradientSalience:
    """Of the targets' summed loss, in nats, by the embeddings that the model looks up.

    Attributes:
        l2: length of the gradient at each token (T,).
        dot_input: the gradient's product with the embedding of each token (T,).
    """

    l2: Floats
    dot_input: Floats


def gradient_salience(
    model: LanguageModel, ids: Sequence[int], targets: Sequence[int], runtime: Runtime
) -> GradientSalience:
    """The gradient of the summed loss of some tokens at the embeddings of those before them.

    What a model knows of a token from other tables than that of `token_embedding` is missing from it: see
    `has_other_tables`.

    Args:
        model: on the runtime's device; its mode (training or evaluation) and its own gradients are kept.
        ids: a passage of at least 2 and at most `block_size` + 1 tokens.
        targets: indices of the tokens to be predicted; the first token, which nothing predicts, is ignored.
        runtime: device and number format.

    Raises:
        AnalysisError: the model has no table of embeddings, or does not use it.
        ValueError: a target is outside the passage.
    """
    wanted = _predicted(ids, targets)
    row = row_of(ids[:-1], model, runtime)
    found = np.zeros((2, len(ids)), dtype=np.float32)
    if len(wanted):
        parts = parts_of(model)  # before there are hooks: it may run the model
        with evaluating(model), torch.enable_grad(), _Embedded(model) as embedded:
            losses = _losses(model, parts, row, wanted - 1, np.asarray(ids)[wanted], runtime)
            gradient, vectors = embedded.gradient_of(losses.sum(), row)
        products = torch.stack([gradient * gradient, gradient * vectors]).sum(dim=-1)  # (2, T)
        found[:, :-1] = products.cpu().numpy()
        found[0] = np.sqrt(found[0])
    return GradientSalience(l2=found[0], dot_input=found[1])


class _Embedded:
    """A block in which the model's embeddings are variables of which there can be gradients."""

    def __init__(self, model: LanguageModel) -> None:
        self._module = model.token_embedding()
        self._vectors: list[Tensor] = []

    def __enter__(self) -> "_Embedded":
        if self._module is not None:
            self._hook = self._module.register_forward_hook(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        if self._module is not None:
            self._hook.remove()

    def _keep(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        self._vectors.append(output.detach().requires_grad_())
        return self._vectors[-1]

    def gradient_of(self, loss: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient at the embeddings of `ids` (1, T), and these: (T, C) each, float32."""
        if len(self._vectors) != 1 or self._vectors[0].shape[:-1] != ids.shape or not loss.requires_grad:
            raise AnalysisError(
                "this model's gradients cannot be read: it does not look up each token once in an nn.Embedding with a "
                "row for each token. Erasure needs no gradients."
            )
        (gradient,) = torch.autograd.grad(loss, self._vectors)
        return gradient[0].float(), self._vectors[0].detach()[0].float()


def has_other_tables(model: LanguageModel) -> bool:
    """Whether the model knows tokens from other tables too, such as those of n-gram or value embeddings.

    Then the gradient at the embeddings misses a part of a token's influence, and erasure does not.
    """
    own = model.token_embedding()
    ignored = [] if own is None else list(own.modules())
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding) and module not in ignored]
    looked_up: list[Tensor] = []
    hooks = [table.register_forward_pre_hook(lambda _, args: looked_up.append(args[0])) for table in tables]
    length, device = min(2, model.block_size), next(model.parameters()).device
    seen: list[list[Tensor]] = []
    try:
        with evaluating(model), torch.no_grad():
            for token in (0, model.vocab_size - 1):
                looked_up.clear()
                model(torch.full((1, length), token, device=device))
                seen.append(list(looked_up))
    finally:
        for hook in hooks:
            hook.remove()
    return any(not torch.equal(one, other) for one, other in zip(*seen, strict=True))


def erasure(
    model: LanguageModel, ids: Sequence[int], targets: Sequence[int], runtime: Runtime, *, reach: int | None = None
) -> Floats:
    """By how many nats the summed loss of some tokens rises when each earlier token is left out: shape (T,).

    The tokens after it move up. A target counts only where the token is before it and another one stays before it; the
    result is 0 at the last target and after it.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        ids: a passage of at least 2 and at most `block_size` + 1 tokens.
        targets: indices of the tokens to be predicted; the first token, which nothing predicts, is ignored.
        runtime: device and number format.
        reach: leave out only tokens that are at most so far before a target; None is all.

    Raises:
        ValueError: a target is outside the passage.
    """
    wanted = _predicted(ids, targets)
    pairs = _pairs(wanted, len(ids) if reach is None else reach)
    rises = _rises(model, ids, pairs, runtime)
    return np.bincount(pairs[:, 0], weights=rises, minlength=len(ids)).astype(np.float32)


def erasures(model: LanguageModel, ids: Sequence[int], runtime: Runtime, reach: int) -> Floats:
    """By how many nats the loss of each token rises when one of the `reach` tokens before it is left out.

    Returns:
        Shape (T, reach), [t, r - 1] of token t without token t - r; 0 where there is no such token. The rest is as in
        `erasure`.
    """
    pairs = _pairs(np.arange(1, len(ids)), reach)
    found = np.zeros((len(ids), reach), dtype=np.float32)
    found[pairs[:, 1], pairs[:, 1] - pairs[:, 0] - 1] = _rises(model, ids, pairs, runtime)
    return found


def _predicted(ids: Sequence[int], targets: Sequence[int]) -> Integers:
    """The different targets that something predicts, in order."""
    if any(not 0 <= target < len(ids) for target in targets):
        raise ValueError(f"targets {list(targets)}: expected 0 to {len(ids) - 1}")
    return np.array(sorted({*targets} - {0}), dtype=np.int64)


def _pairs(targets: Integers, reach: int) -> Integers:
    """Which token (j) to leave out for which target (t), by j: shape (P, 2). A target needs something before it."""
    pairs = [(j, t) for t in targets.tolist() for j in range(max(0, t - reach), t) if t > 1]
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


@torch.no_grad()
def _rises(model: LanguageModel, ids: Sequence[int], pairs: Integers, runtime: Runtime) -> npt.NDArray[np.float64]:
    """By how many nats the loss of each pair's target rises when the pair's token is left out: shape (P,)."""
    row = row_of(ids[:-1], model, runtime)
    if not len(pairs):
        return np.zeros(0)
    text = np.asarray(ids, dtype=np.int64)
    before, wanted = np.zeros(len(ids)), np.unique(pairs[:, 1])
    with evaluating(model):
        losses = _losses(model, parts_of(model), row, wanted - 1, text[wanted], runtime)
        before[wanted] = losses.double().cpu().numpy()
        without = _Without(model, text, runtime)
        after = np.concatenate([without(some) for some in without.batches(pairs)])
    rises: npt.NDArray[np.float64] = after - before[pairs[:, 1]]
    return rises


def _losses(
    model: LanguageModel, parts: Parts | None, row: Tensor, positions: Integers, wanted: Integers, runtime: Runtime
) -> Tensor:
    """The losses (P,) in nats of the ids `wanted` (P,), predicted at some positions (P,) of `row` (1, T)."""
    at = torch.as_tensor(positions, device=row.device)
    with runtime.autocast():
        logits: Tensor = model(row)[0, at] if parts is None else parts[1](parts[0](row)[0, at])  # (P, V)
    return F.cross_entropy(logits.float(), torch.as_tensor(wanted, device=row.device), reduction="none")


class _Recomputing(LanguageModel):
    """A model without a way of its own to compute token by token."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model, self.block_size, self.vocab_size = model, model.block_size, model.vocab_size

    def forward(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`."""
        logits: Tensor = self.model(ids)
        return logits


class _Without:
    """The losses in a text without one of its tokens; what comes before that is computed once."""

    def __init__(self, model: LanguageModel, text: Integers, runtime: Runtime) -> None:
        self._model = model if fits_forward(model, "extend_all") else _Recomputing(model)
        self._text, self._runtime = text, runtime
        self._cache, self._cached = self._model.new_cache(1), 0

    def batches(self, pairs: Integers) -> Iterator[Integers]:
        """The pairs to compute at once, in order: those of some tokens to leave out."""
        left_out, targets = pairs.T
        starts = np.flatnonzero(np.diff(left_out, prepend=-1))
        longest = int((targets - left_out).max()) + _ROWS
        rows = min(_ROWS, _CACHED_AT_ONCE // self._model.block_size)
        rows = max(1, min(rows, _LOGITS_AT_ONCE // (longest * self._model.vocab_size)))
        return (pairs[first:last] for first, last in pairwise([*starts[::rows].tolist(), len(pairs)]))

    def __call__(self, pairs: Integers) -> npt.NDArray[np.float64]:
        """The losses (P,) in nats of the targets of `pairs` without the tokens to leave out."""
        left_out, targets = pairs.T
        erased, rows = np.unique(left_out, return_inverse=True)
        # A target that follows the erased token is predicted from the token before that.
        start, end = max(0, int(erased[0]) - 1), int(targets.max())
        shortened = np.stack([np.delete(self._text[start:end], at - start) for at in erased])
        inputs, device = torch.as_tensor(shortened, device=self._runtime.device), self._runtime.device
        positions, wanted = targets - start - 2, self._text[targets]
        cache = self._up_to(start, len(erased))
        with self._runtime.autocast():
            if (positions == inputs.shape[1] - 1).all():
                logits = self._model.extend(inputs, cache)[rows]  # (P, V)
            else:
                at = tuple(torch.as_tensor(each, device=device) for each in (rows, positions))
                logits = self._model.extend_all(inputs, cache)[at]
        losses = F.cross_entropy(logits.float(), torch.as_tensor(wanted, device=device), reduction="none")
        return losses.double().cpu().numpy()

    def _up_to(self, start: int, rows: int) -> Cache:
        """A cache with the tokens before `start`, which never falls, in each of some rows."""
        if start == 0:
            return self._model.new_cache(rows)
        if start > self._cached:
            self._extend(self._cache, self._cached, start, 1)
            self._cached = start
        cache = self._cache.repeated(rows)
        if cache is None:
            cache = self._model.new_cache(rows)
            self._extend(cache, 0, start, rows)
        return cache

    def _extend(self, cache: Cache, first: int, last: int, rows: int) -> None:
        ids = torch.as_tensor(self._text[first:last], device=self._runtime.device)
        with self._runtime.autocast():
            self._model.extend(ids.expand(rows, -1), cache)
