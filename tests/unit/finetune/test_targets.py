"""Which layers get adapters."""

from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from ml_playground.config.sections import PeftConfig
from ml_playground.errors import ConfigError
from ml_playground.finetune.model import FineTuned
from ml_playground.finetune.network import lora_config
from ml_playground.finetune.targets import targets_of

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


def llama(**more: Any) -> PreTrainedModel:
    options: dict[str, Any] = {**SIZES, "tie_word_embeddings": False, **more}
    return LlamaForCausalLM(LlamaConfig(**options))


def moe() -> PreTrainedModel:
    experts: dict[str, Any] = {"moe_intermediate_size": 8, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**experts, **SIZES))


def adapted(network: PreTrainedModel, **options: Any) -> FineTuned:
    peft = PeftConfig.model_validate({"r": 2, **options})
    wrapped = get_peft_model(network, lora_config(network, peft, []))
    assert isinstance(wrapped, PeftModel)
    return FineTuned(wrapped, block_size=8)


def trained_names(model: FineTuned) -> str:
    return " ".join(model.trainable_state_dict())


@pytest.mark.parametrize("network", [moe(), MixtralForCausalLM(MixtralConfig(num_local_experts=4, **SIZES))])
def test_experts_are_mlps_too(network: PreTrainedModel) -> None:
    """They were left out without a word, since they are no linear layers but one tensor."""
    assert targets_of(network, PeftConfig.model_validate({"extend_mlp_targets": True})).parameters == [
        "experts.gate_up_proj",
        "experts.down_proj",
    ]
    torch.manual_seed(1)
    model = adapted(network, extend_mlp_targets=True)
    ids = torch.arange(8)[None]
    assert "experts.lora_A" in trained_names(model)
    model(ids).square().sum().backward()
    for value in model.parameters():
        if value.grad is not None:
            value.data -= 0.1 * value.grad.sign()
    with torch.no_grad():
        before = model.eval()(ids)
        model.finalize()
        torch.testing.assert_close(model.eval()(ids), before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("option", "value"), [("lora_dropout", 0.1), ("use_dora", True)])
def test_what_experts_cannot_have_is_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"\[train.peft\] {option}: must be .* whose experts are kept as one tensor"):
        adapted(moe(), extend_mlp_targets=True, **{option: value})
    assert "experts" not in trained_names(adapted(moe(), **{option: value}))


def test_a_convolution_is_not_an_expert() -> None:
    network = MambaForCausalLM(MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, state_size=4))
    options = {"target_modules": ["in_proj"], "extend_mlp_targets": True}
    assert targets_of(network, PeftConfig.model_validate(options)).parameters == []


@pytest.mark.parametrize("targets", [["lm_head"], ["lm_head", "q_proj"]])
def test_a_head_of_its_own_can_have_an_adapter(targets: list[str]) -> None:
    model = adapted(llama(), target_modules=targets)
    assert "lm_head.lora_A" in trained_names(model)
    assert ("q_proj" in trained_names(model)) == ("q_proj" in targets)
    assert "lm_head" not in trained_names(adapted(llama(), extend_mlp_targets=True))


def test_a_head_that_is_tied_or_trained_cannot() -> None:
    tied = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **SIZES))
    with pytest.raises(ConfigError, match="lm_head shares its matrix with the embeddings in this model"):
        adapted(tied, target_modules=["lm_head"])
    peft = PeftConfig.model_validate({"target_modules": ["lm_head"]})
    with pytest.raises(ConfigError, match="lm_head has rows of new tokens"):
        lora_config(llama(), peft, [49])


@pytest.mark.parametrize(
    ("options", "network", "refused"),
    [
        ({"bias": "all"}, llama(), "the model has no biases"),
        ({"bias": "lora_only"}, llama(), "no layer with an adapter has a bias"),
        ({"bias": "all"}, llama(mlp_bias=True), None),
        ({"bias": "lora_only"}, llama(mlp_bias=True), "no layer with an adapter has a bias"),
        ({"bias": "lora_only", "extend_mlp_targets": True}, llama(mlp_bias=True), None),
        ({"bias": "lora_only"}, llama(attention_bias=True), None),
    ],
)
def test_biases_are_trained_or_missed(options: dict[str, Any], network: PreTrainedModel, refused: str | None) -> None:
    if refused is None:
        assert ".bias" in trained_names(adapted(network, **options))
        return
    with pytest.raises(ConfigError, match=rf"\[train.peft\] bias: .*{refused}"):
        adapted(network, **options)


def test_mlps_that_are_not_there_are_missed() -> None:
    network = llama()
    for block in network.get_submodule("model.layers").children():
        block.register_module("mlp", nn.Identity())
    with pytest.raises(ConfigError, match="extend_mlp_targets: the model has no linear layers but those in attention"):
        adapted(network, extend_mlp_targets=True)
