"""Types that several sections share."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from ml_playground.config.fields import model_name

ModelName = Annotated[str | None, AfterValidator(model_name)]
Device = Literal["cpu", "mps", "cuda", "auto"]
DType = Literal["float32", "bfloat16", "float16"]
SampleDType = Literal[DType, "int8"]
GGUFType = Literal["f32", "f16", "q8_0"]

TRAINED_MODEL = "train.hf_model.model_name train.model.init_from"
"""The options that name the model that a training begins with."""

TRAINED_REVISION = "train.hf_model.revision"
