"""Pretrained models: `[train.model] init_from`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from torch import Tensor

from ml_playground.config.sections import ModelConfig, Packing
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.of_model import read_tokenizer, tokenizer_of_model
from ml_playground.data.tokenizers.options import load_tokenizer
from ml_playground.errors import CheckpointError, PlaygroundError, PromptError
from ml_playground.interop.nanogpt import is_nanogpt, nanogpt_tokenizer, read_nanogpt
from ml_playground.models.spec import Pretrained, Vocabulary
from ml_playground.run.checkpoint import load
from ml_playground.utils.hub import find_folder


@dataclass(frozen=True)
class _Found:
    """A trained model in this project's terms.

    Attributes:
        options: what `build_model` takes.
        weights: the model's state.
        tokenizer: the model's tokenizer.
    """

    options: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer


def load_pretrained(source: str, *, vocabulary: Vocabulary, text: str, block_size: int, dropout: float) -> Pretrained:
    """The model at `source`, with another context and dropout, and rows for the ids of `vocabulary` only.

    Args:
        source: a folder in Hugging Face's format, a name on the Hub, a checkpoint of this project, or one of nanoGPT,
            whose `meta.pkl` is expected in the same folder.
        vocabulary: the data's tokenizer.
        text: some of the data, which both tokenizers must encode to the same ids.
        block_size: longest context, in tokens.
        dropout: rate.

    Raises:
        CheckpointError: there is no such model, or it is of an unsupported kind, or it does not fit.
    """
    try:
        found = _read(source)
        fitted = _fit(found, vocabulary.vocab_size, block_size, dropout)
        _require_same_tokens(found, vocabulary, text)
    except PlaygroundError as error:
        raise CheckpointError(f"[train.model] init_from: {source}: {error}") from error
    return fitted


def _read(source: str) -> _Found:
    path = Path(source)
    if not path.is_file():
        # Imported here, since it needs an optional dependency.
        from ml_playground.interop.huggingface.families import PATTERNS, load_hf_folder

        folder = find_folder(source, PATTERNS)
        model_args, weights = load_hf_folder(folder)
        end_token = read_tokenizer(folder).end_token
        packing: Packing = "running" if end_token is None else "started"
        return _Found(model_args, weights, tokenizer_of_model(str(folder), packing=packing))
    if is_nanogpt(path):
        found = read_nanogpt(path)
        size = found.model_args.get("vocab_size")
        if not isinstance(size, int):
            raise CheckpointError("its model_args have no vocab_size")
        return _Found(found.model_args, found.weights, nanogpt_tokenizer(path.with_name("meta.pkl"), size))
    checkpoint = load(path)
    if checkpoint.origin.model_args.get("file") is not None:
        raise CheckpointError("its model comes from a file of its own")
    return _Found(
        checkpoint.origin.model_args, checkpoint.averaged_weights, load_tokenizer(checkpoint.origin.tokenizer)
    )


def _require_same_tokens(found: _Found, vocabulary: Vocabulary, text: str) -> None:
    known = found.options["vocab_size"]
    if vocabulary.vocab_size > known or not same_tokens(found.tokenizer, vocabulary, text):
        raise CheckpointError(
            f"the data is not in the tokens that it knows (it has {known:,}, the data {vocabulary.vocab_size:,}). "
            "Set [prepare] tokenizer to its own (\"huggingface\" is that of a folder), then run 'prepare' again."
        )


def _fit(found: _Found, vocab_size: int, block_size: int, dropout: float) -> Pretrained:
    options, weights = dict(found.options), dict(found.weights)
    del options["vocab_size"]
    try:
        shape = ModelConfig.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}") from error
    if block_size > shape.block_size:
        raise CheckpointError(f"[train.model] block_size = {block_size} is beyond its context of {shape.block_size}")
    for name in ("transformer.wte.weight", "lm_head.weight"):
        if name in weights:
            weights[name] = weights[name][:vocab_size]
    if "transformer.wpe.weight" in weights:
        weights["transformer.wpe.weight"] = weights["transformer.wpe.weight"][:block_size]
    window = shape.sliding_window if shape.sliding_window < block_size else 0  # a longer one has no effect
    fitted = {"block_size": block_size, "dropout": dropout, "sliding_window": window}
    return Pretrained({**shape.model_copy(update=fitted).model_dump(), "vocab_size": vocab_size}, weights)


def same_tokens(theirs: Vocabulary, ours: Vocabulary, text: str) -> bool:
    """Whether each id of `ours` stands for the same bytes in `theirs`, and both encode `text` to the same ids."""
    special = {token for token in theirs.special_ids() if token < ours.vocab_size}
    if special != ours.special_ids() or (theirs.start_id is not None and ours.start_id not in (None, theirs.start_id)):
        return False
    others = (token for token in range(ours.vocab_size) if token not in special)
    if any(theirs.token_bytes(token) != ours.token_bytes(token) for token in others):
        return False
    try:
        return np.array_equal(theirs.encode(text), ours.encode(text))
    except PromptError:
        return False
