"""Folders in Hugging Face's format, checked against the model that they were made from."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.store import Dataset
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import ExportError
from ml_playground.interop.compare import largest_difference, logits_on, same_tokens, validation_windows
from ml_playground.interop.huggingface.families import family_of
from ml_playground.models import loading
from ml_playground.models.transformer import Transformer
from ml_playground.utils.checksums import write_checksums
from ml_playground.utils.files import atomic_replace, json_text, share_like

TOLERANCE = 1e-4  # of logits

_CHECKED_WINDOWS = 8
_CHECKED_TOKENS = 2**16  # in the tokenizer


def write_folder(
    path: Path, model: Transformer, tokenizer: Tokenizer, *, sampling: SamplingConfig, dataset: Dataset, card: str
) -> float:
    """Write a model, and check it in Transformers before it appears at `path`.

    Args:
        path: the folder.
        model: the model, on the CPU in float32, in evaluation mode.
        tokenizer: its tokenizer.
        sampling: what its `generation_config.json` says.
        dataset: the data that it was trained on, to check with.
        card: the text of its `README.md`.

    Returns:
        The largest difference between a logit here and in Transformers on validation text.

    Raises:
        ExportError: Transformers has no class for the model, or computes something else.
    """
    if tokenizer.describe() != dataset.tokenizer.describe():
        raise ExportError(
            "the prepared data has a different vocabulary from the model, so that the export cannot be checked. "
            "Prepare the data that the model was trained on."
        )
    values, tensors = family_of(model.config).to_theirs(model.config, model.state_dict(), tokenizer.vocab_size)
    name, index = tokenizer.end_of_text() or (None, None)
    ids = {"bos_token_id": index, "eos_token_id": index, "pad_token_id": index}
    with atomic_replace(path) as folder:
        folder.mkdir()
        (folder / "config.json").write_bytes(json_text({**values, **ids, "dtype": "float32"}))
        (folder / "generation_config.json").write_bytes(json_text({**ids, **_generation(sampling, model.block_size)}))
        # Tensors that were cut out of one matrix share its memory, which safetensors refuses.
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
        write_checksums(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")  # without a checksum: users edit it
        _check_tokenizer(folder, tokenizer, tokenizer.decode(dataset.val[:_CHECKED_TOKENS].tolist()))
        windows = validation_windows(dataset.val, model.block_size, _CHECKED_WINDOWS)
        return _check_logits(folder, model, windows)


def _generation(sampling: SamplingConfig, context: int) -> dict[str, Any]:
    greedy = sampling.temperature == 0
    chosen = {} if greedy else {name: getattr(sampling, name) for name in ("temperature", "top_k", "top_p", "min_p")}
    return {
        "do_sample": not greedy,
        **chosen,
        "repetition_penalty": sampling.repetition_penalty,
        "max_length": context,  # positions beyond it do not exist or were never trained
    }


def _check_tokenizer(folder: Path, tokenizer: Tokenizer, text: str) -> None:
    theirs = loading.load_tokenizer(folder)
    ids: list[int] = tokenizer.encode(text).tolist()
    alike = same_tokens(theirs, tokenizer, text, add_special_tokens=True)
    if not alike or theirs.decode(ids) != tokenizer.decode(ids):
        raise ExportError(
            "the exported tokenizer splits or decodes validation text differently from the run's. Nothing was written."
        )


def _check_logits(folder: Path, model: Transformer, windows: Sequence[Tensor]) -> float:
    network = loading.load_network(folder, dtype=torch.float32)[0].eval()
    theirs = logits_on(lambda ids: network(ids).logits, windows)
    largest = largest_difference(logits_on(model, windows), theirs)
    if not largest <= TOLERANCE:
        raise ExportError(
            f"Transformers' logits on validation text differ from ours by up to {largest:.1e}, which is more than "
            f"{TOLERANCE:.0e}. Nothing was written."
        )
    return largest
