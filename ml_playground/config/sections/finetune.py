"""`[train.hf_model]` and `[train.peft]`: a pretrained model, and what of it is trained."""

from typing import Literal

from pydantic import Field, PositiveInt

from ml_playground.config.fields import (
    Section,
    default_from,
)
from ml_playground.config.sections.types import DType, ModelName


class HfModelConfig(Section):
    """A pretrained model to fine-tune, in Hugging Face's format: any that Transformers has, with the same trainer."""

    model_name: ModelName = Field(
        None,
        min_length=1,
        description="a folder in that format, or a name on the Hub; not set, the model is that of `[train.model]`",
    )
    revision: str | None = Field(None, description="branch, tag or commit on the Hub; not set, the newest")
    block_size: PositiveInt = default_from(
        "train.data.block_size", "longest context the model is given, in tokens", gt=0, le=2**24
    )
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass: less memory, more time"
    )
    dtype: DType = default_from("train.runtime.dtype", "number format of frozen weights; trained ones are in float32")
    quantization: Literal["none", "8bit", "4bit"] = Field(
        "none", description="store frozen weights in 8 or 4 bits, on CUDA, with bitsandbytes (QLoRA)"
    )


class PeftConfig(Section):
    """What is trained of that model: adapters by Hugging Face's PEFT (LoRA, Hu et al. 2021), or all of it."""

    enabled: bool = Field(True, description="`false` trains all weights")
    r: PositiveInt = Field(8, le=2**16, description="rank of the adapters")
    lora_alpha: float = Field(16, ge=1e-6, le=1e6, description="their output is multiplied by this divided by `r`")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of their input while training")
    bias: Literal["none", "all", "lora_only"] = Field(
        "none", description="biases to train too: none, all, or those of layers with adapters"
    )
    target_modules: list[str] | None = Field(
        None, min_length=1, description="names of the linear layers that get adapters; not set, those in attention"
    )
    extend_mlp_targets: bool = Field(False, description="give adapters to the linear layers in MLPs too")
    use_dora: bool = Field(False, description="train magnitudes and directions separately (DoRA, Liu et al. 2024)")
    use_rslora: bool = Field(
        False, description="divide `lora_alpha` by the root of `r` (rank-stabilised LoRA, Kalajdzievski 2023)"
    )
