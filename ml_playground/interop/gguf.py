"""GGUF files, as llama.cpp and Ollama read them, written directly."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gguf import (
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFWriter,
    LlamaFileType,
    get_tensor_name_map,
)
from gguf.constants import TokenType
from gguf.quants import quantize
from torch import Tensor

from ml_playground.config.sections import GGUFType, ModelConfig
from ml_playground.data.tokenizers.base import LlamaVocabulary, Tokenizer
from ml_playground.errors import ExportError
from ml_playground.models.huggingface import hf_class, theta_of, to_huggingface
from ml_playground.utils.files import staged

_ARCHITECTURES = {
    "GPT2LMHeadModel": MODEL_ARCH.GPT2,
    "LlamaForCausalLM": MODEL_ARCH.LLAMA,
    "Qwen3ForCausalLM": MODEL_ARCH.QWEN3,
}
_TYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
_Q8_BLOCK = 32  # values that share a scale


def write_gguf(
    path: Path, config: ModelConfig, weights: Mapping[str, Tensor], tokenizer: Tokenizer, dtype: GGUFType
) -> None:
    """Write a model with its tokenizer.

    Vectors and positions stay float32. With `q8_0`, matrices whose rows are no multiple of 32 long are f16.

    Args:
        path: the file.
        config: the model's options.
        weights: its state.
        tokenizer: its tokenizer.
        dtype: number format of the matrices.

    Raises:
        ExportError: llama.cpp has no such architecture or tokenizer.
    """
    architecture = architecture_of(config)
    vocabulary = tokenizer.llama_vocabulary()
    _, tensors = to_huggingface(config, weights, tokenizer.vocab_size)
    with staged(path) as temporary, closing(GGUFWriter(temporary, architecture.name.lower())) as writer:
        _add_shape(writer, config, tokenizer.vocab_size)
        writer.add_name(path.stem.removesuffix(f"-{dtype}"))
        writer.add_file_type(_TYPES[dtype][1])
        if dtype == "q8_0":
            writer.add_quantization_version(2)
        _add_vocabulary(writer, vocabulary)
        for tensor_name, values in _named(architecture, config, tensors):
            stored, kind = _stored(tensor_name, values, _TYPES[dtype][0])
            writer.add_tensor(tensor_name, stored, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def architecture_of(config: ModelConfig) -> MODEL_ARCH:
    """What llama.cpp calls models of these options. Raises ExportError if it has none."""
    name = hf_class(config)
    if name not in _ARCHITECTURES or config.sliding_window:
        raise ExportError(
            "llama.cpp would run this model without its sliding window: in [train.model], sliding_window = "
            f"{config.sliding_window} (not 0) stands in the way. [export.gguf] enabled = false leaves llama.cpp out."
        )
    return _ARCHITECTURES[name]


def _add_shape(writer: GGUFWriter, config: ModelConfig, vocab_size: int) -> None:
    writer.add_context_length(config.block_size)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_kv_head)
    writer.add_vocab_size(vocab_size)
    if config.norm.kind == "layernorm":
        writer.add_layer_norm_eps(config.norm_eps)
    else:
        writer.add_layer_norm_rms_eps(config.norm_eps)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(theta_of(config))


def _add_vocabulary(writer: GGUFWriter, vocabulary: LlamaVocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([TokenType[kind.upper()] for kind in vocabulary.types])
    if vocabulary.pre is not None:
        writer.add_tokenizer_pre(vocabulary.pre)
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.end_id is not None:
        writer.add_eos_token_id(vocabulary.end_id)
        writer.add_bos_token_id(vocabulary.end_id)
    writer.add_add_bos_token(vocabulary.start_id is not None)
    writer.add_add_eos_token(False)


def _named(
    architecture: MODEL_ARCH, config: ModelConfig, tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Tensors under llama.cpp's names, laid out as it wants them."""
    names = get_tensor_name_map(architecture, config.n_layer)
    for theirs, tensor in tensors.items():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        values = tensor.detach().to(torch.float32).numpy()
        if architecture == MODEL_ARCH.GPT2 and theirs.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            values = values.T
        elif architecture == MODEL_ARCH.LLAMA and "q_proj" in theirs:
            values = _interleaved(values, config.n_head)
        elif architecture == MODEL_ARCH.LLAMA and "k_proj" in theirs:
            values = _interleaved(values, config.n_kv_head)
        yield name, np.ascontiguousarray(values)


def _interleaved(rows: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """Rows of queries or keys with the two halves of each head interleaved: the pairs that llama.cpp turns in Llama."""
    halves = rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _stored(
    name: str, values: npt.NDArray[Any], wanted: GGMLQuantizationType
) -> tuple[npt.NDArray[Any], GGMLQuantizationType]:
    if values.ndim == 1 or name == "position_embd.weight":
        kind = GGMLQuantizationType.F32
    elif wanted == GGMLQuantizationType.Q8_0 and values.shape[-1] % _Q8_BLOCK:
        kind = GGMLQuantizationType.F16
    else:
        kind = wanted
    return quantize(values, kind), kind
