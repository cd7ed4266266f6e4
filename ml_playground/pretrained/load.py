"""Trained models to begin with: `[train.model] init_from`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from torch import Tensor

from ml_playground.config.files import shown
from ml_playground.config.sections import ModelConfig
from ml_playground.data.fast_tokenizer import FastTokenizer
from ml_playground.data.tokenizers import Tokenizer
from ml_playground.errors import CheckpointError, PlaygroundError, PromptError
from ml_playground.hub import find_folder
from ml_playground.pretrained.huggingface import WANTED, read_folder
from ml_playground.pretrained.nanogpt import nanogpt_tokenizer, read_nanogpt


@dataclass(frozen=True)
class Pretrained:
    """A model of another program in our terms.

    Attributes:
        model_args: what `build_model` takes.
        weights: the model's state.
        tokenizer: text to ids as the model knows them.
    """

    model_args: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer


def load_pretrained(source: str) -> Pretrained:
    """The model at `source`.

    Args:
        source: a folder in Hugging Face's format, a name at its hub, or a checkpoint of nanoGPT, whose `meta.pkl` is
            looked for beside it.

    Raises:
        CheckpointError: there is none, or it is none that is known here.
    """
    path = Path(source)
    if path.is_file():
        values = read_nanogpt(path)
        tokenizer = nanogpt_tokenizer(path.with_name("meta.pkl"), values.model_args["vocab_size"])
        return Pretrained(values.model_args, values.weights, tokenizer)
    try:
        folder = find_folder(source, WANTED)
        return Pretrained(*read_folder(folder), FastTokenizer.of_model(str(folder), start_token=False))
    except PlaygroundError as error:
        raise CheckpointError(f"[train.model] init_from = {shown(path)}: {error}") from error


def fit(pretrained: Pretrained, config: ModelConfig, tokenizer: Tokenizer, sample: str) -> Pretrained:
    """`pretrained` with the context and the dropout of `config`, and with rows for the ids of `tokenizer` only.

    Args:
        pretrained: a model.
        config: what is asked for.
        tokenizer: that of the data.
        sample: some of the data's text, in which the two tokenizers must agree.

    Raises:
        CheckpointError: the model has too short a context, or knows other ids.
    """
    args, weights, size = dict(pretrained.model_args), dict(pretrained.weights), config.block_size
    if size > args["block_size"]:
        raise CheckpointError(
            f"[train.model] block_size = {size} is beyond init_from's context of {args['block_size']}"
        )
    if tokenizer.vocab_size > args["vocab_size"] or not _agree(pretrained.tokenizer, tokenizer, sample):
        raise CheckpointError(
            f"the data was not tokenised as init_from's model expects (it has {args['vocab_size']:,} ids, the data "
            f"{tokenizer.vocab_size:,}). Set [prepare] tokenizer = \"huggingface\", then run 'prepare' again."
        )
    for name in ("transformer.wte.weight", "lm_head.weight"):
        weights[name] = weights[name][: tokenizer.vocab_size]
    if "transformer.wpe.weight" in weights:
        weights["transformer.wpe.weight"] = weights["transformer.wpe.weight"][:size]
    del args["vocab_size"]
    args |= {"block_size": size, "dropout": config.dropout}
    if args.get("sliding_window", 0) >= size:
        args["sliding_window"] = 0  # it would hide nothing
    try:
        complete = ModelConfig.model_validate(args).model_dump(exclude={"init_from"})
    except ValidationError as error:
        raise CheckpointError(f"init_from is a model that cannot be built here: {error}") from error
    return Pretrained({**complete, "vocab_size": tokenizer.vocab_size}, weights, pretrained.tokenizer)


def _agree(one: Tokenizer, other: Tokenizer, text: str) -> bool:
    try:
        return np.array_equal(one.encode(text), other.encode(text))
    except PromptError:
        return False
