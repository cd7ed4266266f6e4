"""What is exported: a built-in model, or a folder in Hugging Face's format."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerBase

from ml_playground.config.sections import GGUFType, SamplingConfig
from ml_playground.data.store import Dataset
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import CheckpointError, ExportError
from ml_playground.interop.gguf import require_architecture, write_gguf
from ml_playground.interop.huggingface.folder import write_folder
from ml_playground.interop.llama_cpp import STABLE_CONVERTER, convert_hf_to_gguf, has_chat_template
from ml_playground.interop.ollama import write_modelfile
from ml_playground.models.base import LanguageModel
from ml_playground.models.loading import first_line, is_known, is_the_libraries, load_tokenizer
from ml_playground.models.transformer import Transformer
from ml_playground.utils.model_folder import named_code, read_table, refuse_others
from ml_playground.utils.tables import Table


class Exportable(ABC):
    """A model to export.

    Attributes:
        context: its context in tokens, if that is known.
        stops: the tokens that end what it writes.
    """

    context: int | None
    stops: tuple[str, ...]

    @abstractmethod
    def write_gguf(self, path: Path, dtype: GGUFType, converter: Path | None) -> None:
        """Write it for llama.cpp, with the program `converter`; None chooses the best way.

        Raises:
            ExportError: llama.cpp does not support the model, or the converter is missing or failed.
        """

    def write_modelfile(self, path: Path, gguf: Path, sampling: SamplingConfig) -> None:
        """Write a Modelfile for Ollama, for the file `gguf` in the same folder."""
        template = has_chat_template(gguf)
        write_modelfile(path, gguf, sampling, context=self.context, stops=self.stops, has_chat_template=template)


class ExportableModel(Exportable):
    """A built-in model.

    Attributes:
        end: the token that begins and ends documents, if there is one.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, folder: Path) -> None:
        """Take a model, and where its folder in Hugging Face's format is or will be.

        Raises:
            ExportError: it is not a built-in model.
        """
        if type(model) is not Transformer:  # not even a subclass, which may compute anything
            raise ExportError(f"no other program can run a {type(model).__name__}: it is not a built-in model.")
        end = tokenizer.end_of_text()
        self.context = model.block_size
        self.end = None if tokenizer.start_id is None or end is None else end[0]
        self.stops = () if self.end is None else (self.end,)
        self._model: Transformer = model.eval()
        self._tokenizer = tokenizer
        self._folder = folder

    def check_gguf(self, converters: Iterable[Path | None]) -> None:
        """Refuse models that these converters (None: written directly) cannot convert, before anything is written.

        Raises:
            ExportError: one of them cannot.
        """
        for converter in converters:
            require_architecture(self._model.config)
            if converter is None:
                self._tokenizer.llama_vocabulary()
            else:
                self._tokenizer.require_converter()

    def write_folder(self, *, sampling: SamplingConfig, dataset: Dataset, card: str) -> float:
        """Write it in Hugging Face's format; the largest difference between logits there and here.

        Raises:
            ExportError: Transformers has no class for it, or computes something else.
        """
        return write_folder(self._folder, self._model, self._tokenizer, sampling=sampling, dataset=dataset, card=card)

    def write_gguf(self, path: Path, dtype: GGUFType, converter: Path | None) -> None:
        """See `Exportable`: directly, unless a converter is named, which takes the folder."""
        if converter is None:
            write_gguf(path, self._model.config, self._model.state_dict(), self._tokenizer, dtype)
        else:
            convert_hf_to_gguf(self._folder, path, converter=converter, dtype=dtype)


@dataclass(frozen=True)
class ExportableFolder(Exportable):
    """A model in Hugging Face's format."""

    folder: Path
    context: int | None
    stops: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path) -> "ExportableFolder":
        """Raises ExportError if there is no such model."""
        try:
            refuse_others(folder, ("*.safetensors", "*.json", "*.model"))
            values = read_table(folder / "config.json")
            if not is_known(values.get("model_type")) and (code := named_code(folder)) is not None:
                raise CheckpointError(f"it needs Python code of its own, which is never run here: {code}")
            tokenizer = load_tokenizer(folder)
            stops = _stops(folder, values, tokenizer)
        except Exception as error:  # of any type, but raised within the libraries: see `is_the_libraries`
            if not isinstance(error, CheckpointError | OSError) and not is_the_libraries(error):
                raise
            raise ExportError(
                f"[export.hf] source: {folder} holds no model in Hugging Face's format ({first_line(error)})."
            ) from error
        if isinstance(getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None), WordLevel):
            raise ExportError(
                f"[export.hf] source: {folder} has a character vocabulary, which llama.cpp's converter does not know. "
                "Export the run that it comes from, without source and convert_bin."
            )
        if not any(folder.glob("*.safetensors")):
            only = ", and its *.bin files are never unpickled here" if any(folder.glob("*.bin")) else ""
            raise ExportError(f"[export.hf] source: {folder} has no weights (*.safetensors){only}.")
        sizes = [values.get(key) for key in ("max_position_embeddings", "n_positions")]
        context = next((size for size in sizes if isinstance(size, int) and size > 0), None)
        return cls(folder, context, stops)

    def write_gguf(self, path: Path, dtype: GGUFType, converter: Path | None) -> None:
        """See `Exportable`: always by a converter."""
        convert_hf_to_gguf(self.folder, path, converter=converter or STABLE_CONVERTER, dtype=dtype)


def _stops(folder: Path, config: Table, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The tokens that end what a model writes, of which chat models have several: a list of ids."""
    generation = folder / "generation_config.json"
    tables = [config, read_table(generation) if generation.is_file() else {}]
    stated = [table.get("eos_token_id") for table in tables]
    ids = [each for value in stated for each in (value if isinstance(value, list) else [value])]
    known = [each for each in ids if type(each) is int and 0 <= each < len(tokenizer)]
    names = [tokenizer.eos_token, *tokenizer.convert_ids_to_tokens(known)]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))
