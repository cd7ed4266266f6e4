"""llama.cpp's own programs: the converter of Hugging Face's folders, and the quantiser."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_playground.errors import ExportError
from ml_playground.files import staged

STABLE_CONVERTER = Path(__file__).parents[2] / "tools" / "llama_cpp" / "convert-hf-to-gguf.py"
"""Looks for the user's llama.cpp and runs the converter that it finds there."""

_TOLD_LINES = 20


def convert(folder: Path, path: Path, *, converter: Path, dtype: str) -> None:
    """Make a GGUF file of a folder in Hugging Face's format.

    Args:
        folder: the model.
        path: the file to write.
        converter: a llama.cpp checkout, its `convert_hf_to_gguf.py`, or `STABLE_CONVERTER`.
        dtype: number format of the matrices.

    Raises:
        ExportError: there is no such converter, or it failed.
    """
    script = converter / "convert_hf_to_gguf.py" if converter.is_dir() else converter
    if not script.is_file():
        raise ExportError(f"convert_bin: there is no {script}. Name a llama.cpp checkout, or a converter in one.")
    with staged(path) as temporary:
        command = [sys.executable, str(script), str(folder), "--outfile", str(temporary), "--outtype", dtype]
        _run([*command, "--model-name", path.stem], temporary)


def quantise(path: Path, smaller: Path, *, program: Path, kind: str) -> None:
    """Make a smaller GGUF file of one.

    Args:
        path: the model.
        smaller: the file to write.
        program: llama.cpp's `llama-quantize`.
        kind: what to make, such as `Q4_K_M`.

    Raises:
        ExportError: there is no such program, or it failed.
    """
    if not program.is_file():
        raise ExportError(
            f"[export.ollama] quant_bin: there is no {program}. Name the llama-quantize of a llama.cpp build."
        )
    with staged(smaller) as temporary:
        _run([str(program), str(path), str(temporary), kind], temporary)


def _run(command: Sequence[str], made: Path) -> None:
    try:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 -- a program that the user's own configuration names
    except OSError as error:
        raise ExportError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode or not made.is_file():
        said = "\n".join(done.stdout.splitlines()[-_TOLD_LINES:])
        raise ExportError(
            f"{' '.join(command)}\nended with status {done.returncode} and wrote nothing. It said:\n{said}"
        )
