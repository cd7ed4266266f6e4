"""Trained models to begin with: `[train.model] init_from`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError
from torch import Tensor

from ml_playground.config.sections import ModelConfig
from ml_playground.data.model_tokenizer import read_tokenizer, tokenizer_of_model
from ml_playground.data.tokenizers import Tokenizer, load_tokenizer
from ml_playground.errors import CheckpointError, PlaygroundError, PromptError
from ml_playground.interop.from_huggingface import FILES, read_folder
from ml_playground.interop.nanogpt import is_nanogpt, nanogpt_tokenizer, read_nanogpt
from ml_playground.run.checkpoint import load
from ml_playground.utils.hub import find_folder


@dataclass(frozen=True)
class Pretrained:
    """A trained model in our terms.

    Attributes:
        model_args: what `build_model` takes.
        weights: the model's state.
        tokenizer: text to ids as the model knows them.
    """

    model_args: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer


def load_pretrained(source: str, config: ModelConfig, tokenizer: Tokenizer, sample: str) -> Pretrained:
    """The model at `source`, with the context and the dropout of `config`, and rows for the ids of `tokenizer` only.

    Args:
        source: a folder in Hugging Face's format, a name at its hub, a checkpoint of ours, or one of nanoGPT, whose
            `meta.pkl` is looked for beside it.
        config: what is asked for.
        tokenizer: that of the data.
        sample: some of the data's text, of which the two tokenizers must make the same.

    Raises:
        CheckpointError: there is no such model, or it is none that is known here, or it does not fit.
    """
    try:
        return _fit(_read(source), config, tokenizer, sample)
    except PlaygroundError as error:
        raise CheckpointError(f"[train.model] init_from: {source}: {error}") from error


def _read(source: str) -> Pretrained:
    path = Path(source)
    if not path.is_file():
        folder = find_folder(source, FILES)
        model_args, weights = read_folder(folder)
        end_token = read_tokenizer(folder).end_token
        documents: Literal["lines", "whole"] = "whole" if end_token is None else "lines"
        return Pretrained(model_args, weights, tokenizer_of_model(str(folder), documents=documents))
    if is_nanogpt(path):
        found = read_nanogpt(path)
        size = found.model_args.get("vocab_size")
        if not isinstance(size, int):
            raise CheckpointError("its model_args have no vocab_size")
        return Pretrained(found.model_args, found.weights, nanogpt_tokenizer(path.with_name("meta.pkl"), size))
    checkpoint = load(path)
    if checkpoint.origin.model_args.get("file") is not None:
        raise CheckpointError("its model comes from a file of its own")
    weights = {**checkpoint.model, **(checkpoint.ema or {})}
    return Pretrained(checkpoint.origin.model_args, weights, load_tokenizer(checkpoint.origin.tokenizer))


def _fit(pretrained: Pretrained, config: ModelConfig, tokenizer: Tokenizer, sample: str) -> Pretrained:
    args, weights = dict(pretrained.model_args), dict(pretrained.weights)
    vocab_size = args.pop("vocab_size")
    try:
        shape = ModelConfig.model_validate(args)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}") from error
    size = config.block_size
    if size > shape.block_size:
        raise CheckpointError(f"[train.model] block_size = {size} is beyond its context of {shape.block_size}")
    if tokenizer.vocab_size > vocab_size or not _agree(pretrained.tokenizer, tokenizer, sample):
        raise CheckpointError(
            f"the data is not in the tokens that it knows (it has {vocab_size:,}, the data {tokenizer.vocab_size:,}). "
            "Set [prepare] tokenizer to its own (\"huggingface\" is that of a folder), then run 'prepare' again."
        )
    for name in ("transformer.wte.weight", "lm_head.weight"):
        if name in weights:
            weights[name] = weights[name][: tokenizer.vocab_size]
    if "transformer.wpe.weight" in weights:
        weights["transformer.wpe.weight"] = weights["transformer.wpe.weight"][:size]
    window = shape.sliding_window if shape.sliding_window < size else 0  # a longer one would hide nothing
    fitted = {"block_size": size, "dropout": config.dropout, "sliding_window": window}
    complete = shape.model_copy(update=fitted).model_dump()
    return Pretrained({**complete, "vocab_size": tokenizer.vocab_size}, weights, pretrained.tokenizer)


def _agree(theirs: Tokenizer, ours: Tokenizer, text: str) -> bool:
    """Whether each id of `ours` stands for the same there, and `text` is cut into the same tokens."""
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
