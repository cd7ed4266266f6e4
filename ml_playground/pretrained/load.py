"""Trained models to begin with: `[train.model] init_from`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ml_playground.config.sections import ModelConfig
from ml_playground.data.tokenizers import Tokenizer
from ml_playground.errors import CheckpointError, PromptError
from ml_playground.pretrained.huggingface import Encode, find_folder, read_folder, read_tokenizer
from ml_playground.pretrained.nanogpt import nanogpt_tokenizer, read_nanogpt


@dataclass(frozen=True)
class Pretrained:
    """A model of another program in our terms.

    Attributes:
        model_args: what `build_model` takes.
        weights: the model's state.
        encode: text to ids as the model knows them.
    """

    model_args: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    encode: Encode


def load_pretrained(source: str, root: Path) -> Pretrained:
    """The model at `source`.

    Args:
        source: a folder in Hugging Face's format, a name at its hub, or a checkpoint of nanoGPT, whose `meta.pkl` is
            looked for beside it.
        root: folder that a path counts from.

    Raises:
        CheckpointError: there is none, or it is none that is known here.
    """
    path = root / Path(source).expanduser()
    if path.is_file():
        values = read_nanogpt(path)
        theirs = nanogpt_tokenizer(path.with_name("meta.pkl"), values.model_args["vocab_size"])
        return Pretrained(values.model_args, values.weights, lambda text: theirs.encode(text).tolist())
    folder = find_folder(path, source)
    try:
        return Pretrained(*read_folder(folder), read_tokenizer(folder))
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error


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
    if tokenizer.vocab_size > args["vocab_size"] or not _agree(pretrained.encode, tokenizer, sample):
        raise CheckpointError(
            f"the data was not tokenised as init_from's model expects (it has {args['vocab_size']:,} ids, the data "
            f"{tokenizer.vocab_size:,}). Set [prepare] tokenizer to the model's, then run 'prepare' again."
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
    return Pretrained({**complete, "vocab_size": tokenizer.vocab_size}, weights, pretrained.encode)


def _agree(encode: Encode, tokenizer: Tokenizer, sample: str) -> bool:
    try:
        ids: list[int] = tokenizer.encode(sample).tolist()
        return list(encode(sample)) == ids
    except PromptError:
        return False
