"""Adapters merged into the model that they were trained on."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportMissingTypeStubs=false
# The libraries used here leave some types out.

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch

from ml_playground.data.store import Tokens
from ml_playground.data.tokenizers.base import TOKENIZER_FILES, Tokenizer
from ml_playground.errors import ExportError
from ml_playground.finetune.model import FineTuned
from ml_playground.finetune.network import require_all_weights
from ml_playground.interop.compare import largest_difference, logits_on, same_tokens, validation_windows
from ml_playground.models import loading
from ml_playground.models.base import LanguageModel
from ml_playground.models.loading import first_line
from ml_playground.run.finetuned import LogitComparison, MergeInfo, MergeSource
from ml_playground.utils.checksums import write_checksums
from ml_playground.utils.files import atomic_replace, share_like

TOLERANCE = 1e-4  # of logits, as a share of the largest

_CHECKED_WINDOWS = 4
_LOGITS_AT_ONCE = 2**24  # 64 MiB in float32
_SHORTEST = 32  # tokens of a window
_CHECKED_TOKENS = 2**14  # in the tokenizer


def merge(
    trained: LanguageModel,
    path: Path,
    *,
    val: Tokens,
    tokenizer: Tokenizer,
    tokenizer_folder: Path,
    source: MergeSource,
) -> tuple[LogitComparison, list[str]]:
    """Write a fine-tuned model, in float32, as a folder that needs no adapters; `trained` is unusable afterwards.

    Args:
        trained: what `FineTunedSpec` has restored, on the CPU, in float32.
        path: the folder.
        val: validation text to compare on.
        tokenizer: its tokenizer.
        tokenizer_folder: the folder with its files.
        source: where it comes from.

    Returns:
        How closely the logits of the folder match, and warnings.

    Raises:
        ExportError: the merged model computes something else; what was at `path` is untouched.
    """
    model = cast("FineTuned", trained)
    # Not so much text that its logits take more memory than the model.
    length = min(model.block_size, max(_SHORTEST, _LOGITS_AT_ONCE // model.vocab_size))
    windows = validation_windows(val, length, _CHECKED_WINDOWS)
    before = list(logits_on(model.eval(), windows))
    with atomic_replace(path, replace=True) as folder:
        model.finalize()
        model.network.save_pretrained(str(folder))
        for weights in folder.glob("*.safetensors"):
            share_like(weights, folder / "config.json")
        for name in TOKENIZER_FILES:
            if (tokenizer_folder / name).is_file():
                shutil.copyfile(tokenizer_folder / name, folder / name)
        loaded = loading.load_network(folder, dtype=torch.float32)
        written = require_all_weights(loaded, "the merged model").eval()
        difference = largest_difference(before, logits_on(lambda ids: written(ids).logits, windows))
        largest = max(float(logits.abs().max()) for logits in before)
        if not difference <= TOLERANCE * largest:
            raise ExportError(
                f"logits of the merged model on validation text differ by up to {difference:.1e} from those of the "
                f"model with its adapters, which is more than {TOLERANCE:.0e} of the largest. Nothing was written."
            )
        warnings = list(_token_warnings(folder, tokenizer, tokenizer.decode(val[:_CHECKED_TOKENS].tolist())))
        comparison = LogitComparison(difference, largest, TOLERANCE, sum(ids.numel() for ids in windows))
        MergeInfo(source, comparison).write(folder)
        write_checksums(folder)
    return comparison, warnings


def _token_warnings(folder: Path, tokenizer: Tokenizer, text: str) -> Iterator[str]:
    """A warning if Transformers splits a text into different tokens: for some models it has its own rules."""
    try:
        theirs = loading.load_tokenizer(folder)
    except Exception as error:  # of any type, but raised within the libraries: see `is_the_libraries`
        if not loading.is_the_libraries(error):
            raise
        yield f"Transformers cannot load this model's tokenizer by itself ({first_line(error)})."
        return
    if not same_tokens(theirs, tokenizer, text):
        yield (
            "Transformers splits validation text into different tokens from the tokenizer.json that this model was "
            "trained with: for models of this kind it has its own pattern."
        )
