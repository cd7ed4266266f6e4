import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ml_playground.models.build import build_model
from ml_playground.models.quantized import Int8Linear, quantize

ARGS = {"n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 32, "vocab_size": 65, "bias": True}


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 40])
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 1), (64, 65), (176, 7)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_product_is_right_to_the_precision_of_its_format(rows: int, inputs: int, outputs: int, bias: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(inputs, outputs, bias=bias), torch.randn(2, rows, inputs).bfloat16()
    exact = linear(x.float())
    error = Int8Linear(linear)(x).float() - exact
    assert error.shape == (2, rows, outputs)
    assert error.abs().max() < 0.03 * exact.abs().max()


def test_weights_are_within_half_a_step_of_what_they_were() -> None:
    linear = nn.Linear(64, 10)
    made = Int8Linear(linear)
    steps = made.scales.float()[:, None]
    assert ((made.weight * steps - linear.weight).abs() <= steps * 0.75).all()  # the step itself is rounded
    assert made.weight.dtype == torch.int8


def test_a_row_of_zeros_stays_one() -> None:
    linear = nn.Linear(32, 2, bias=False)
    nn.init.zeros_(linear.weight)
    assert Int8Linear(linear)(torch.ones(1, 32).bfloat16()).eq(0).all()


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "modern"])
def test_a_model_predicts_nearly_the_same_with_a_cache_and_without(kind: str) -> None:
    torch.manual_seed(0)
    model = build_model(ARGS | {"kind": kind, "zero_init": False}).eval()
    small = copy.deepcopy(model)
    quantize(small)
    small = small.bfloat16()
    ids = torch.randint(0, 65, (2, 20))
    with torch.inference_mode():
        exact = F.log_softmax(model(ids)[:, -1], dim=-1)
        cache = small.new_cache(2)
        small.extend(ids[:, :18], cache)
        small.extend(ids[:, 18:19], cache)
        cached = F.log_softmax(small.extend(ids[:, 19:], cache).float(), dim=-1)
        uncached = F.log_softmax(small(ids)[:, -1].float(), dim=-1)
    assert (exact - cached).abs().max() < 0.05
    assert (exact - uncached).abs().max() < 0.05
    assert not [module for module in small.modules() if isinstance(module, nn.Linear)]


def test_layers_that_the_kernel_cannot_do_stay_as_they_are() -> None:
    model = build_model(ARGS | {"n_embd": 40})
    quantize(model)
    assert [module.in_features for module in model.modules() if isinstance(module, nn.Linear)] == [40] * 7
    assert len([module for module in model.modules() if isinstance(module, Int8Linear)]) == 2  # 160 inputs each
