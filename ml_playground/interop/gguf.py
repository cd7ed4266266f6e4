"""Writes GGUF files, for llama.cpp and Ollama, without a converter."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, LlamaFileType, get_tensor_name_map
from gguf.constants import TokenType
from gguf.quants import quantize
from torch import Tensor

from ml_playground.config.sections import GGUFType, ModelConfig
from ml_playground.data.tokenizers.base import LlamaVocabulary, Tokenizer
from ml_playground.errors import ExportError
from ml_playground.interop.huggingface.families import family_of
from ml_playground.interop.huggingface.family import Family
from ml_playground.utils.files import atomic_replace

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

    Vectors and positions stay float32. With `q8_0`, matrices whose rows are not a multiple of 32 long are f16.

    Args:
        path: the file.
        config: the model's options.
        weights: its state.
        tokenizer: its tokenizer.
        dtype: number format of the matrices.

    Raises:
        ExportError: llama.cpp does not support the architecture or the tokenizer.
    """
    family, architecture = _family_and_architecture(config)
    vocabulary = tokenizer.llama_vocabulary()
    _, tensors = family.to_theirs(config, weights, tokenizer.vocab_size)
    with atomic_replace(path) as temporary, closing(GGUFWriter(temporary, architecture)) as writer:
        _add_shape(writer, config, tokenizer.vocab_size)
        family.write_gguf_shape(writer, config)
        writer.add_name(path.stem.removesuffix(f"-{dtype}"))
        writer.add_file_type(_TYPES[dtype][1])
        if dtype == "q8_0":
            writer.add_quantization_version(2)
        _add_vocabulary(writer, vocabulary)
        for tensor_name, values in _named(family, architecture, config, tensors):
            stored, kind = _stored(tensor_name, values, _TYPES[dtype][0])
            writer.add_tensor(tensor_name, stored, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def require_architecture(config: ModelConfig) -> None:
    """Raises ExportError if llama.cpp has no architecture for models of these options."""
    _family_and_architecture(config)


def _family_and_architecture(config: ModelConfig) -> tuple[Family, str]:
    family = family_of(config)
    if family.gguf is None or config.sliding_window:
        raise ExportError(
            "llama.cpp would run this model without its sliding window: [train.model] sliding_window = "
            f"{config.sliding_window} (not 0). [export.gguf] enabled = false leaves llama.cpp out."
        )
    return family, family.gguf


def _add_shape(writer: GGUFWriter, config: ModelConfig, vocab_size: int) -> None:
    writer.add_context_length(config.block_size)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_kv_head)
    writer.add_vocab_size(vocab_size)


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
    family: Family, architecture: str, config: ModelConfig, tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Tensors under llama.cpp's names, in its layout."""
    names = get_tensor_name_map(MODEL_ARCH[architecture.upper()], config.n_layer)
    for theirs, tensor in tensors.items():
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None, theirs
        values = family.gguf_tensor(theirs, tensor.detach().to(torch.float32), config)
        yield name, values.contiguous().numpy()


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
