"""`[export.*]`: the model for other programs."""

from pathlib import Path

from pydantic import Field

from ml_playground.config.fields import (
    Section,
    default_from,
)
from ml_playground.config.sections.types import GGUFType


class ExportHfConfig(Section):
    """A folder in Hugging Face's format: `export/huggingface/` in the run directory."""

    enabled: bool = Field(True, description="write it")
    source: Path | None = Field(
        None,
        description="a folder in that format to export instead of the run's checkpoint; it is not changed. For a "
        "fine-tuned model the default is `merged/`",
    )


class ExportGgufConfig(Section):
    """A file for llama.cpp: `export/<name of the run>-<dtype>.gguf` in the run directory."""

    enabled: bool = Field(True, description="write it")
    dtype: GGUFType = Field("f16", description="number format of its matrices")
    convert_bin: Path | None = Field(
        None,
        description="make it from the folder with llama.cpp's converter: the path of a llama.cpp checkout, of its "
        "`convert_hf_to_gguf.py`, or of `tools/llama_cpp/convert-hf-to-gguf.py`, which looks for one. The "
        "run's own checkpoints need none; for a `source` the last of these is the default",
    )


class ExportOllamaConfig(Section):
    """A model for Ollama: `export/Modelfile` in the run directory, with the options of `[sample.sample]`."""

    enabled: bool = default_from("export.gguf.enabled", "write it")
    convert_bin: Path | None = default_from(
        "export.gguf.convert_bin", "where it differs, Ollama gets a GGUF file of its own, made by this converter"
    )
    quant_bin: Path | None = Field(None, description="llama.cpp's `llama-quantize`, to give Ollama a smaller file")
    quantization: str | None = Field(
        None, pattern=r"^\w+$", description="what `quant_bin` makes: any type that it lists; `Q4_K_M` by default"
    )
