"""The loss of large vocabularies, some positions at a time."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from ml_playground.data.batches import IGNORED
from ml_playground.finetune.model import FineTuned
from ml_playground.models import base
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from tests.unit.finetune.test_model import gemma3, qwen2
from tests.unit.finetune.test_targets import adapted

ARGS: dict[str, Any] = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 12, "vocab_size": 50}
IDS = torch.arange(36).view(3, 12) * 7 % 50
TARGETS = torch.where(IDS % 5 == 0, IGNORED, IDS.roll(-1, dims=1))


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=32))


def gemma2() -> PreTrainedModel:
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1, "final_logit_softcapping": 0.01}
    return Gemma2ForCausalLM(Gemma2Config(vocab_size=50, **heads, **sizes))


def gradients(model: LanguageModel) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(5)  # for dropout
    loss = model.loss(IDS, TARGETS, ignored=IGNORED)
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
    found = [value.grad for value in model.parameters() if value.grad is not None]
    model.zero_grad(set_to_none=True)
    return loss.detach(), found


def models() -> dict[str, LanguageModel]:
    torch.manual_seed(1)
    return {
        "built-in": build_model(ARGS),
        "built-in, with dropout": build_model({**ARGS, "dropout": 0.3}),
        "built-in, squashed": build_model({**ARGS, "logit_softcap": 0.5, "tied_embeddings": False}),
        "Qwen 2": FineTuned(qwen2(), block_size=12),
        "Gemma 3": FineTuned(gemma3(), block_size=12),
        "Gemma 2, squashed": FineTuned(gemma2(), block_size=12),
        "GPT-2": FineTuned(gpt2(), block_size=12),
        "adapters": adapted(qwen2(), extend_mlp_targets=True, lora_dropout=0.2),
    }


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("pieces_of", [50 * 5, 50 * 36, 1])
def test_pieces_make_the_same_loss_and_gradients(monkeypatch: pytest.MonkeyPatch, pieces_of: int) -> None:
    for name, model in models().items():
        loss, whole = gradients(model)
        expected = F.cross_entropy(model.eval()(IDS).flatten(0, 1), TARGETS.flatten(), ignore_index=-1, reduction="sum")
        if "dropout" not in name and name not in ("GPT-2", "adapters"):
            assert torch.equal(loss, expected.detach())  # not a bit of those below the bound has changed
        model.train()
        with monkeypatch.context() as patch:
            patch.setattr(base, "LOGITS_AT_ONCE", 50)
            patch.setattr(base, "_LOGITS_PER_PIECE", pieces_of)
            assert (model.split() is None) == (name == "Gemma 2, squashed")
            again, in_pieces = gradients(model)
        torch.testing.assert_close(again, loss)
        assert len(in_pieces) == len(whole) > 0
        for one, other in zip(in_pieces, whole, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_the_logits_of_all_positions_are_never_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model(ARGS)
    largest = 0
    predict: Callable[[Tensor], Tensor] = cast("Any", model)._predict

    def watched(hidden: Tensor) -> Tensor:
        nonlocal largest
        logits = predict(hidden)
        largest = max(largest, logits.numel())
        return logits

    cast("Any", model)._predict = watched
    monkeypatch.setattr(base, "LOGITS_AT_ONCE", 36 * 50)
    gradients(model)
    assert largest == 36 * 50
    largest = 0
    monkeypatch.setattr(base, "LOGITS_AT_ONCE", 36 * 50 - 1)
    monkeypatch.setattr(base, "_LOGITS_PER_PIECE", 4 * 50)
    gradients(model)
    assert largest == 4 * 50
