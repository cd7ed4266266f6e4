"""Folders in Hugging Face's format, checked against the model that they were made of."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.store import Dataset, Tokens
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import ExportError
from ml_playground.models import loading
from ml_playground.models.base import LanguageModel
from ml_playground.models.huggingface import to_huggingface
from ml_playground.models.transformer import Transformer
from ml_playground.utils.files import json_text, share_like, staged

TOLERANCE = 1e-4  # of logits

_CHECKED_WINDOWS = 8
_CHECKED_TOKENS = 2**16  # in the tokenizer


def write_folder(
    path: Path, model: Transformer, tokenizer: Tokenizer, *, sampling: SamplingConfig, dataset: Dataset, card: str
) -> float:
    """Write a model, and check what Transformers makes of it before it appears at `path`.

    Args:
        path: the folder.
        model: the model, on the CPU in float32, in evaluation mode.
        tokenizer: its tokenizer.
        sampling: what its `generation_config.json` says.
        dataset: the data that it was trained on, to check with.
        card: the text of its `README.md`.

    Returns:
        The largest difference between a logit of ours and of theirs on validation text.

    Raises:
        ExportError: there is no class for the model in Transformers, or it computes something else.
    """
    if tokenizer.describe() != dataset.tokenizer.describe():
        raise ExportError(
            "the prepared data has another vocabulary than the model, which so cannot be checked. "
            "Prepare the data that it was trained on."
        )
    values, tensors = to_huggingface(model.config, model.state_dict(), tokenizer.vocab_size)
    name, index = tokenizer.end_of_text() or (None, None)
    ids = {"bos_token_id": index, "eos_token_id": index, "pad_token_id": index}
    with staged(path) as folder:
        folder.mkdir()
        (folder / "config.json").write_bytes(json_text({**values, **ids, "dtype": "float32"}))
        (folder / "generation_config.json").write_bytes(json_text({**ids, **_generation(sampling, model.block_size)}))
        # Parts of one matrix of ours share its memory, which the format has no way to tell.
        owned = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        weights = folder / "model.safetensors"
        save_file(owned, weights, metadata={"format": "pt"})
        share_like(weights, folder / "config.json")
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.to_fast(),
            model_max_length=model.block_size,
            clean_up_tokenization_spaces=False,
            **({} if name is None else {"bos_token": name, "eos_token": name, "pad_token": name}),
        ).save_pretrained(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
        _check_tokenizer(folder, tokenizer, tokenizer.decode(dataset.val[:_CHECKED_TOKENS].tolist()))
        return _check_logits(folder, model, dataset.val)


def _generation(sampling: SamplingConfig, context: int) -> dict[str, Any]:
    greedy = sampling.temperature == 0
    chosen = {} if greedy else {name: getattr(sampling, name) for name in ("temperature", "top_k", "top_p", "min_p")}
    return {
        "do_sample": not greedy,
        **chosen,
        "repetition_penalty": sampling.repetition_penalty,
        "max_length": context,  # beyond it, learned positions end and others were never trained
    }


def _check_tokenizer(folder: Path, tokenizer: Tokenizer, text: str) -> None:
    theirs = loading.load_tokenizer(folder)
    ids: list[int] = tokenizer.encode(text).tolist()
    # Names of special tokens are text to ours, and to theirs if they are told so.
    if theirs.encode(text, split_special_tokens=True) != ids or theirs.decode(ids) != tokenizer.decode(ids):
        raise ExportError("the exported tokenizer does not do with validation text what ours does. Nothing is written.")


@torch.inference_mode()
def _check_logits(folder: Path, model: LanguageModel, val: Tokens) -> float:
    theirs = loading.load_network(folder, dtype=torch.float32)[0].eval()
    length = min(model.block_size, len(val))
    differences: list[torch.Tensor] = []
    for first in range(0, min(len(val) - length + 1, _CHECKED_WINDOWS * length), length):
        ids = torch.tensor(val[None, first : first + length].astype("int64"))  # (1, T)
        logits = theirs(ids).logits  # (1, T, V)
        differences.append((model(ids)[..., : logits.shape[-1]] - logits).abs().max())
    largest = float(torch.stack(differences).max())  # which is NaN if one is; Python's max would overlook it
    if not largest <= TOLERANCE:
        raise ExportError(
            f"Transformers' logits on validation text differ from ours by up to {largest:.1e}, which is more than "
            f"{TOLERANCE:.0e}. Nothing is written."
        )
    return largest
