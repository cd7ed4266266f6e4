"""llama.cpp's own programs: the converter of Hugging Face's folders, and the quantizer."""

import mmap
import shlex
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from gguf import GGUFReader, GGUFValueType, Keys

from ml_playground.errors import ExportError
from ml_playground.utils.files import atomic_replace
from ml_playground.utils.model_folder import without_code

STABLE_CONVERTER = Path(__file__).with_name("find_converter.py")
"""Finds the user's llama.cpp and runs its converter."""

_SHOWN_LINES = 20


def require_programs(converters: Iterable[Path | None], quantizer: Path | None) -> None:
    """Check that programs exist before any long work starts. Raises ExportError if not."""
    for converter in converters:
        if converter is not None and not _script(converter).is_file():
            raise ExportError(
                f"convert_bin: there is no {_script(converter)}. Name a llama.cpp checkout, or a converter in one."
            )
    if quantizer is not None and not quantizer.is_file():
        raise ExportError(
            f"[export.ollama] quant_bin: there is no {quantizer}. Name the llama-quantize of a llama.cpp build."
        )


def convert_hf_to_gguf(folder: Path, path: Path, *, converter: Path, dtype: str) -> None:
    """Convert a folder in Hugging Face's format to a GGUF file.

    Args:
        folder: the model.
        path: the file to write.
        converter: a llama.cpp checkout, its `convert_hf_to_gguf.py`, or `STABLE_CONVERTER`.
        dtype: number format of the matrices.

    Raises:
        ExportError: the converter failed.
    """
    # For some kinds of models the converter has Transformers import a folder's code, and it unpickles *.bin files.
    with atomic_replace(path) as temporary, without_code(folder) as clean:
        command = [sys.executable, str(_script(converter)), str(clean), "--outfile", str(temporary)]
        _run([*command, "--outtype", dtype, "--model-name", path.stem], temporary)
        if not _has_tensors(temporary):
            raise ExportError(f"the converter made no GGUF file with weights of {folder}.")


def quantize(path: Path, smaller: Path, *, program: Path, kind: str) -> None:
    """Quantize a GGUF file.

    Args:
        path: the model.
        smaller: the file to write.
        program: llama.cpp's `llama-quantize`.
        kind: the type of quantization, such as `Q4_K_M`.

    Raises:
        ExportError: the program failed.
    """
    with atomic_replace(smaller) as temporary:
        _run([str(program), str(path), str(temporary), kind], temporary)
        if not _has_tensors(temporary):
            raise ExportError(f"{program} made no GGUF file with weights of {path}.")


def has_chat_template(path: Path) -> bool:
    """Whether a GGUF file contains a chat template.

    It is looked for by its key, with the length before and the type after it: `GGUFReader` takes seconds for a
    vocabulary.
    """
    key = Keys.Tokenizer.CHAT_TEMPLATE.encode()
    field = struct.pack("<Q", len(key)) + key + struct.pack("<I", GGUFValueType.STRING)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(field) >= 0


def _has_tensors(path: Path) -> bool:
    """Whether a file is a GGUF file, with tensors."""
    try:
        return bool(GGUFReader(path).tensors)
    except (ValueError, IndexError, KeyError):
        return False


def _script(converter: Path) -> Path:
    return converter / "convert_hf_to_gguf.py" if converter.is_dir() else converter


def _run(command: Sequence[str], made: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 -- a program that the user's own configuration names
            command,
            check=False,
            stdin=subprocess.DEVNULL,  # no prompts about running code
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise ExportError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode or not made.is_file():
        said = "\n".join(done.stdout.splitlines()[-_SHOWN_LINES:]) or "It printed nothing."
        raise ExportError(f"{said}\nThat was (status {done.returncode}, and no file): {shlex.join(command)}")
