"""Networks of Transformers behind our interface."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    MambaConfig,
    MambaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from ml_playground.errors import CheckpointError
from ml_playground.finetune.model import FineTuned
from ml_playground.finetune.spec import FineTunedSpec


def qwen2() -> Qwen2ForCausalLM:
    torch.manual_seed(1)
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    return Qwen2ForCausalLM(Qwen2Config(vocab_size=50, num_key_value_heads=1, **sizes))


def test_a_network_without_keys_and_values_computes_everything_anew() -> None:
    torch.manual_seed(1)
    network = MambaForCausalLM(MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, state_size=4))
    model = FineTuned(network, block_size=16).eval()
    ids = torch.randint(0, 50, (2, 12))
    cache = model.new_cache(2)
    with torch.no_grad():
        steps = [model.extend(part, cache) for part in torch.split(ids, 1, dim=1)]
        torch.testing.assert_close(torch.stack(steps, dim=1), model(ids), atol=1e-5, rtol=1e-5)
        cache = model.new_cache(2)
        pieces = [model.extend_all(part, cache) for part in torch.split(ids, 5, dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids), atol=1e-5, rtol=1e-5)
    assert model.flops_per_token(16) > 0


@pytest.mark.parametrize("windowed", [False, True])
def test_what_a_network_remembers_can_be_copied(windowed: bool) -> None:
    network = qwen2() if not windowed else gemma3()
    model = FineTuned(network, block_size=16).eval()
    ids = torch.randint(0, 50, (1, 10))
    with torch.inference_mode():
        cache = model.new_cache(1)
        model.extend(ids[:, :7], cache)
        copy = cache.repeated(3)
        assert copy is not None
        rows = [model.extend(ids[:, step : step + 1].repeat(3, 1), copy) for step in range(7, 10)][-1]
        assert cache.length == 7
        torch.testing.assert_close(rows, model(ids)[:, -1].expand(3, -1), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.extend(ids[:, 7:], cache), rows[:1], atol=1e-5, rtol=1e-5)


def gemma3() -> Gemma3ForCausalLM:
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "head_dim": 8}
    kinds = ["sliding_attention", "full_attention"]
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1}
    return Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=50, sliding_window=4, layer_types=kinds, **heads, **sizes))


def test_fewer_bits_leave_positions_as_they_are() -> None:
    model = FineTuned(qwen2(), block_size=16)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.cast(torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert any("inv_freq" in name for name in before)
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name])


def test_compute_is_counted_as_for_our_own() -> None:
    model = FineTuned(qwen2(), block_size=16)
    layers = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 48) + 50 * 32
    assert model.flops_per_token(16) == 6 * layers + 12 * 2 * 32 * 16
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert model.flops_per_token(16) == 4 * layers + 12 * 2 * 32 * 16


def test_a_model_for_more_than_text_is_refused(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {**sizes, "vocab_size": 50, "head_dim": 8, "num_key_value_heads": 1}
    config = Gemma3Config(text_config=text, vision_config={**sizes, "image_size": 28, "patch_size": 14})
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path)
    options = {"hf_model": {"model_name": "x", "revision": None, "block_size": 8, "dtype": "float32"}, "peft": {}}
    args = {**options, "block_size": 8, "vocab_size": 50, "new_tokens": {}}
    with pytest.raises(CheckpointError, match="is a multimodal model"):
        FineTunedSpec(args, str(tmp_path), None).build()
