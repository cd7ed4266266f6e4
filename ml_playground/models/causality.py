"""Checks, before the first step, that a user's model does not see the tokens that it is to predict."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ml_playground.errors import ConfigError
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import seed_everything
from ml_playground.utils.paths import display_path

_LONGEST = 128  # tokens that are checked, so that this takes about as long as a step
_NOISE = 0.02  # added to all weights: projections that start at zero would hide a leak
_SEED = 1
_SAME = 1e-4  # difference of logits, as a share of the largest, that rounding can cause
_SAME_IN_STEPS = 1e-2  # the same for `extend`, which computes them in another way


@torch.no_grad()
def require_causal(model: LanguageModel, file: Path) -> str | None:
    """Compare the logits of texts that are the same up to some position, in evaluation mode.

    Args:
        model: on its device; its weights are changed.
        file: where it comes from.

    Returns:
        A warning if the model overrides a built-in model's `forward` but not its `extend`, and the two disagree.

    Raises:
        ConfigError: logits depend on later tokens or have the wrong shape, or `extend` and `forward` disagree.
    """
    length = min(model.block_size, _LONGEST)
    if length < 2 or model.vocab_size < 2:
        return None
    model.eval()
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    seed_everything(_SEED)
    for parameter in model.parameters():
        if parameter.is_floating_point() and not isinstance(parameter, nn.UninitializedParameter):
            parameter.add_(torch.randn_like(parameter), alpha=_NOISE)
    # Odd and even positions, so that one of them is inside any block that the model treats as a whole.
    halves = (length // 4 + 1, length // 2 - 1, length // 2, length // 2 + 1, 3 * length // 4)
    cuts = sorted({cut for cut in (1, 2, 3, *halves, length - 1) if 0 < cut < length})
    ids = torch.randint(model.vocab_size, (1, length)).expand(len(cuts), -1)
    others = (ids + torch.randint(1, model.vocab_size, (len(cuts), length))) % model.vocab_size
    before = torch.arange(length) < torch.tensor(cuts)[:, None]  # (cuts, T)
    changed = torch.where(before, ids, others)
    one = _logits(model, ids.to(device))
    if one.shape[:-1] != ids.shape:
        raise _refusal(
            file, f"its logits for tokens {tuple(ids.shape)} are {tuple(one.shape)}, not (B, T, vocab_size)."
        )
    other = _logits(model, changed.to(device))
    same = torch.isclose(one, other, rtol=0, atol=_SAME * _scale(one), equal_nan=True).all(dim=-1)  # (cuts, T)
    wrong = (before & ~same).nonzero()
    if len(wrong):
        row, position = (int(index) for index in wrong[0])
        _refuse_random(model, one, ids.to(device), file)
        raise _refusal(
            file,
            f"its prediction at position {position} changes when only tokens from position {cuts[row]} on change: it "
            "sees the tokens that it should predict, and its loss would be meaningless. Check its convolutions (pad on "
            "the left only), attention masks, and norms or sums over positions.",
        )
    problem = None
    if type(model).extend is not LanguageModel.extend:
        problem = _difference_in_steps(model, ids[:1].to(device), one[:1])
    if problem is not None and not type(model).extend.__module__.startswith("ml_playground."):
        raise _refusal(file, problem)
    return problem and f"[train.model] file: {display_path(file)}: {problem}"


def _logits(model: LanguageModel, ids: Tensor) -> Tensor:
    seed_everything(_SEED)  # for models that draw at random in evaluation mode too
    logits: Tensor = model(ids.contiguous())
    return logits.detach().float().cpu()


def _scale(logits: Tensor) -> float:
    finite = logits[torch.isfinite(logits)].abs()
    return max(float(finite.max()), 1e-6) if len(finite) else 1e-6


def _refuse_random(model: LanguageModel, logits: Tensor, ids: Tensor, file: Path) -> None:
    again = _logits(model, ids)
    if not torch.allclose(logits, again, rtol=0, atol=_SAME * _scale(logits), equal_nan=True):
        raise _refusal(
            file,
            "it gives different logits for the same tokens when called again, in evaluation mode: it keeps state "
            "between calls, which forward must not.",
        )


def _difference_in_steps(model: LanguageModel, ids: Tensor, expected: Tensor) -> str | None:
    """Give `extend` a first piece and then single tokens, as sampling does; what is wrong, None if nothing is."""
    length, tolerance = ids.shape[1], _SAME_IN_STEPS * _scale(expected)
    cache, first = model.new_cache(1), max(1, length - 3)
    ends = [first, *range(first + 1, length + 1)]
    for start, end in zip([0, *ends], ends, strict=False):
        seed_everything(_SEED)
        logits = model.extend(ids[:, start:end].contiguous(), cache).float().cpu()
        if not torch.allclose(logits, expected[:, end - 1], rtol=0, atol=tolerance, equal_nan=True):
            return (
                f"its extend and its forward disagree after {end} tokens, so that it would sample differently from how "
                "it was trained."
            )
    return None


def _refusal(file: Path, text: str) -> ConfigError:
    return ConfigError([f"[train.model] file: {file}: {text}"])
