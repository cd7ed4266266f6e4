"""How much each token of a passage matters to the prediction of others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.analysis.passage import evaluating, row_of
from ml_playground.analysis.scores import Floats, Integers
from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel
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

_TOKENS_AT_ONCE = 2**13
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
        targets: indices of the tokens to be predicted; the first token, which nothing predicts, counts nothing.
        runtime: device and number format.

    Raises:
        AnalysisError: the model has no table of embeddings, or does not use it.
        ValueError: a target is outside the passage.
    """
    wanted = _predicted(ids, targets)
    row = row_of(ids[:-1], model, runtime)
    found = np.zeros((2, len(ids)), dtype=np.float32)
    if len(wanted):
        losses_in = _Losses(model, runtime)
        with evaluating(model), torch.enable_grad(), _Embedded(model) as embedded:
            losses = losses_in(row, np.zeros_like(wanted), wanted - 1, np.asarray(ids)[wanted])
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

    The tokens after it move up. What is left out itself, or has nothing left before it, is not counted: the last
    target's own place and those after it are 0.

    Args:
        model: on the runtime's device; its mode (training or evaluation) is kept.
        ids: a passage of at least 2 and at most `block_size` + 1 tokens.
        targets: indices of the tokens to be predicted; the first token, which nothing predicts, counts nothing.
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
    row_of(ids[:-1], model, runtime)  # which checks its length
    if not len(pairs):
        return np.zeros(0)
    text = np.asarray(ids, dtype=np.int64)
    left_out, targets = pairs.T
    losses_in, wanted = _Losses(model, runtime), np.unique(targets)
    before = np.zeros(len(ids))
    without: list[npt.NDArray[np.float64]] = []
    with evaluating(model):
        whole = torch.as_tensor(text[None, :-1], device=runtime.device)
        losses = losses_in(whole, np.zeros_like(wanted), wanted - 1, text[wanted])
        before[wanted] = losses.double().cpu().numpy()
        for some in losses_in.batches(pairs):
            erased, rows = np.unique(left_out[some], return_inverse=True)
            length = int(targets[some].max()) - 1
            shortened = np.stack([np.delete(text[: length + 1], at) for at in erased])
            inputs = torch.as_tensor(shortened, device=runtime.device)
            losses = losses_in(inputs, rows, targets[some] - 2, text[targets[some]])
            without.append(losses.double().cpu().numpy())
    rises: npt.NDArray[np.float64] = np.concatenate(without) - before[targets]
    return rises


class _Losses:
    """The losses of single predictions, for which the head computes no others where the model can be split."""

    def __init__(self, model: LanguageModel, runtime: Runtime) -> None:
        self._model, self._runtime = model, runtime
        self._parts = model.split()

    def __call__(self, inputs: Tensor, rows: Integers, positions: Integers, wanted: Integers) -> Tensor:
        """In nats (P,), of the ids `wanted`, each predicted at a position of a row of `inputs` (B, T)."""
        at = tuple(torch.as_tensor(each, device=inputs.device) for each in (rows, positions))
        with self._runtime.autocast():
            if self._parts is None:
                logits: Tensor = self._model(inputs)[at]  # (P, V)
            else:
                body, head = self._parts
                logits = head(body(inputs)[at])
        return F.cross_entropy(logits.float(), torch.as_tensor(wanted, device=inputs.device), reduction="none")

    def batches(self, pairs: Integers) -> Iterator[slice]:
        """Which pairs to compute at once: those of some tokens to leave out, whose texts are the rows of a batch."""
        left_out, targets = pairs.T
        longest = int(targets.max())
        starts = np.flatnonzero(np.diff(left_out, prepend=-1))
        per_row = longest if self._parts is None else int(np.diff(starts, append=len(pairs)).max())
        logits = per_row * self._model.vocab_size
        rows = max(1, min(_TOKENS_AT_ONCE // longest, _LOGITS_AT_ONCE // logits))
        return starmap(slice, pairwise([*starts[::rows].tolist(), len(pairs)]))
