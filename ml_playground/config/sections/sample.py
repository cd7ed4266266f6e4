"""`[sample.*]`: which run to sample from, and how."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from ml_playground.config.fields import (
    Section,
    default_from,
    prompt,
)
from ml_playground.config.sections.types import Device, SampleDType


class SampleRuntimeConfig(Section):
    """Which run to sample from, and on what."""

    out_dir: Path = default_from("train.runtime.out_dir", "run directory to take the checkpoint from, for `export` too")
    device: Device = Field("auto", description="`auto` takes CUDA, else MPS, else the CPU")
    dtype: SampleDType = Field(
        "float32",
        description="number format of weights and activations; fewer bytes are faster to read. "
        "`int8`: weights of 8 bits, activations in bfloat16, for a CPU",
    )
    seed: NonNegativeInt = Field(1337, description="same seed, same text")
    threads: NonNegativeInt = default_from("train.runtime.threads", "threads that compute on a CPU", ge=0, le=1024)
    compile: bool = Field(False, description="compile the model with `torch.compile`")


class SamplingConfig(Section):
    """What to generate."""

    start: Annotated[str, AfterValidator(prompt)] = Field(
        "\n",
        description='prompt, or `FILE:<path>` for a file\'s text; "" starts a new document where there are any. '
        "Names of the tokenizer's special tokens, such as `<|endoftext|>`, mean these tokens",
    )
    num_samples: PositiveInt = Field(3, le=10**6, description="texts to generate")
    max_new_tokens: PositiveInt = Field(200, description="most tokens per text")
    temperature: float = Field(0.8, ge=0, le=1e30, description="0 always takes the likeliest token")
    top_k: NonNegativeInt = Field(200, description="choose among this many likeliest tokens; 0 is all")
    top_p: float = Field(
        1.0, gt=0, le=1, description="choose among the likeliest tokens that together have this probability"
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="choose among tokens at least this many times as likely as the likeliest"
    )
    repetition_penalty: float = Field(
        1.0, ge=1e-3, le=1e3, description="above 1, tokens already in the context become less likely; 1 turns it off"
    )
    batch_size: PositiveInt = Field(
        1,
        le=10**4,
        description="texts generated at once, which is faster; a single one is printed as it is generated",
    )
