"""What is exported: a model of ours, or a folder in Hugging Face's format that came from elsewhere."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers.models import WordLevel
from transformers import AutoTokenizer

from ml_playground.config.sections import GGUFType, SamplingConfig
from ml_playground.config.tables import is_table
from ml_playground.data.store import Dataset
from ml_playground.data.tokenizers import CharTokenizer, Tokenizer
from ml_playground.errors import ExportError
from ml_playground.export.gguf import architecture_of, write_gguf
from ml_playground.export.huggingface import write_folder
from ml_playground.export.llama_cpp import STABLE_CONVERTER, convert
from ml_playground.export.ollama import write_modelfile
from ml_playground.export.tokenizer import end_of_text, llama_vocabulary
from ml_playground.models import LanguageModel
from ml_playground.models.transformer import Transformer


class Source(ABC):
    """A model that other programs are to have.

    Attributes:
        context: tokens that it sees, at most, if that is known.
        end: the token that ends what it writes, if there is one.
        chat_template: its template for conversations, in Jinja, if it has one.
    """

    context: int | None
    end: str | None
    chat_template: str | None

    @abstractmethod
    def write_gguf(self, path: Path, dtype: GGUFType, converter: Path | None) -> None:
        """Write it for llama.cpp, by the program `converter` or in the way that is best for it.

        Raises:
            ExportError: llama.cpp has no such model, or the converter is missing or failed.
        """

    def write_modelfile(self, path: Path, gguf: Path, sampling: SamplingConfig) -> None:
        """Write what Ollama makes a model from, for its file `gguf` in the same folder."""
        template = self.chat_template
        write_modelfile(path, gguf, sampling, context=self.context, end=self.end, chat_template=template)


class OwnSource(Source):
    """A model of ours."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, folder: Path) -> None:
        """Take a model, and where its folder in Hugging Face's format is or will be.

        Raises:
            ExportError: the user wrote it.
        """
        if type(model) is not Transformer:  # not even one that derives from it, which may compute anything
            raise ExportError(
                f"no other program computes what a {type(model).__name__} does: [train.model] file stands in the way."
            )
        end = end_of_text(tokenizer)
        self.context = model.block_size
        self.end = None if tokenizer.start_id is None or end is None else end[0]
        self.chat_template = None
        self._model: Transformer = model.eval()
        self._tokenizer = tokenizer
        self._folder = folder

    def check_gguf(self, converters: Iterable[Path | None]) -> None:
        """Refuse what no GGUF file can be made of by these converters (None: directly), before anything is written.

        Raises:
            ExportError: there is no way.
        """
        for converter in converters:
            architecture_of(self._model.config)
            if converter is None:
                llama_vocabulary(self._tokenizer)
            elif isinstance(self._tokenizer, CharTokenizer):
                raise ExportError("llama.cpp's converter knows no character vocabularies: leave convert_bin out.")

    def write_folder(self, *, sampling: SamplingConfig, dataset: Dataset, card: str) -> float:
        """Write it in Hugging Face's format; how far logits there differ from ours at most.

        Raises:
            ExportError: Transformers has no class for it, or computes something else.
        """
        return write_folder(self._folder, self._model, self._tokenizer, sampling=sampling, dataset=dataset, card=card)

    def write_gguf(self, path: Path, dtype: GGUFType, converter: Path | None) -> None:
        """See `Source`: directly, unless a converter is named, which takes the folder."""
        if converter is None:
            write_gguf(path, self._model.config, self._model.state_dict(), self._tokenizer, dtype)
        else:
            convert(self._folder, path, converter=converter, dtype=dtype)


@dataclass(frozen=True)
class FolderSource(Source):
    """A model in Hugging Face's format."""

    folder: Path
    context: int | None
    end: str | None
    chat_template: str | None

    @classmethod
    def open(cls, folder: Path) -> "FolderSource":
        """Raises ExportError where there is no such model."""
        try:
            values: Any = json.loads((folder / "config.json").read_bytes())
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except Exception as error:  # of many kinds, where files are not what they should be
            raise ExportError(
                f"[export.hf] source: {folder} holds no model in Hugging Face's format "
                f"({(str(error) or type(error).__name__).splitlines()[0]})."
            ) from error
        if isinstance(getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None), WordLevel):
            raise ExportError(
                f"[export.hf] source: {folder} has a character vocabulary, which llama.cpp's converter does not know. "
                "Export the run that it comes from, without source and convert_bin."
            )
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
            raise ExportError(f"[export.hf] source: {folder} has no weights (*.safetensors).")
        sizes = [values.get(key) for key in ("max_position_embeddings", "n_positions")] if is_table(values) else []
        context = next((size for size in sizes if isinstance(size, int)), None)
        template = tokenizer.chat_template
        return cls(folder, context, tokenizer.eos_token, template if isinstance(template, str) else None)

    def write_gguf(self, path: Path, dtype: GGUFType, converter: Path | None) -> None:
        """See `Source`: always by a converter."""
        convert(self.folder, path, converter=converter or STABLE_CONVERTER, dtype=dtype)
