"""What is exported: a model of ours, or a folder in Hugging Face's format that came from elsewhere."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from ml_playground.config.sections import GGUFType, SamplingConfig
from ml_playground.data.store import Dataset
from ml_playground.data.tokenizers import Tokenizer
from ml_playground.errors import ExportError
from ml_playground.export.gguf import write_gguf
from ml_playground.export.huggingface import write_folder
from ml_playground.export.llama_cpp import STABLE_CONVERTER, convert
from ml_playground.export.ollama import write_modelfile
from ml_playground.export.tokenizer import end_of_text
from ml_playground.models import LanguageModel
from ml_playground.models.transformer import Transformer


@dataclass(frozen=True)
class Source:
    """A model that other programs are to have.

    Attributes:
        own: the model and its tokenizer, where they are ours.
        folder: the model in Hugging Face's format, None where it is not in that format.
        context: tokens that it sees, at most.
        stops: texts that end what it writes.
        chats: whether it brings a template for conversations.
    """

    own: tuple[Transformer, Tokenizer] | None
    folder: Path | None
    context: int
    stops: tuple[str, ...]
    chats: bool

    def write_folder(
        self, path: Path, *, sampling: SamplingConfig, dataset: Dataset, card: str
    ) -> tuple["Source", float]:
        """Write a model of ours in Hugging Face's format; itself with that folder, and how far logits differ at most.

        Raises:
            ExportError: Transformers has no class for it, or computes something else.
        """
        assert self.own is not None
        model, tokenizer = self.own
        difference = write_folder(path, model, tokenizer, sampling=sampling, dataset=dataset, card=card)
        return replace(self, folder=path), difference

    def write_gguf(self, path: Path, dtype: GGUFType, converter: Path | None) -> None:
        """Write it for llama.cpp: a model of ours directly, unless `converter` names a program to make it of `folder`.

        Raises:
            ExportError: llama.cpp has no such model, or the converter is missing or failed.
        """
        if self.own is not None and converter is None:
            model, tokenizer = self.own
            write_gguf(path, model.config, model.state_dict(), tokenizer, dtype)
        else:
            assert self.folder is not None  # the configuration is refused otherwise
            convert(self.folder, path, converter=converter or STABLE_CONVERTER, dtype=dtype)

    def write_modelfile(self, path: Path, gguf: Path, sampling: SamplingConfig, *, seed: int) -> None:
        """Write what Ollama makes a model from, for its file `gguf` in the same folder."""
        write_modelfile(path, gguf, sampling, context=self.context, stops=self.stops, chats=self.chats, seed=seed)


def own_source(model: LanguageModel, tokenizer: Tokenizer) -> Source:
    """A model of ours. Raises ExportError if the user wrote it."""
    if not isinstance(model, Transformer):
        raise ExportError(
            f"no other program computes what a {type(model).__name__} does: [train.model] file stands in the way."
        )
    end = end_of_text(tokenizer)
    ends = () if tokenizer.start_id is None or end is None else (end[0],)
    return Source((model.eval(), tokenizer), None, model.block_size, ends, chats=False)


def folder_source(folder: Path) -> Source:
    """A model in Hugging Face's format. Raises ExportError where there is none."""
    try:
        values: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"[export.hf] source: {folder} holds no model in Hugging Face's format ({str(error).splitlines()[0]})."
        ) from error
    context = values.get("max_position_embeddings") or values.get("n_positions")
    if not isinstance(context, int):
        raise ExportError(f"[export.hf] source: {folder}/config.json does not say how many tokens the model sees.")
    stops = (tokenizer.eos_token,) if tokenizer.eos_token else ()
    return Source(None, folder, context, stops, chats=tokenizer.chat_template is not None)
