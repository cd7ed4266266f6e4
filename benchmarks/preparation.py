"""How fast text becomes tokens: ours, nanoGPT's scripts, and tiktoken by itself."""

import json
import os
import shutil
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import tiktoken

from benchmarks.contenders import ANY_TEXT, NanoGPT, run
from benchmarks.report import Result, median, rounds
from ml_playground import experiments
from ml_playground.config.load import load_config
from ml_playground.data.download import TINY_SHAKESPEARE, fetch
from ml_playground.data.prepare import prepare_texts

ROUNDS = 3
MIB, LARGE_MIB = 32, 1024
EXPERIMENT = experiments.find(ANY_TEXT)
SCRIPTS = {"char": "shakespeare_char", "gpt2": "shakespeare"}
VARIANT = """\
extends = {base}
[prepare]
tokenizer = "{tokenizer}"
raw_dir = {raw}
dataset_dir = {out}
"""
# Runs a script or module and prints the most memory that it had, in KiB. What the system tells of a process that has
# ended counts in the memory of its parent.
WITH_PEAK = """\
import re, runpy, sys
from pathlib import Path
del sys.argv[0]
try:
    (runpy.run_path if sys.argv[0].endswith(".py") else runpy.run_module)(sys.argv[0], run_name="__main__")
finally:
    print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def preparation(nanogpt: NanoGPT, scratch: Path) -> Result:
    """Seconds and memory of whole processes on Tiny Shakespeare many times over; and tiktoken in this process."""
    folder = scratch / "preparation"
    folder.mkdir()
    text = _text(folder / "text.txt", MIB)
    result = Result("preparation", ["text", "", "seconds", "median", "million tokens/s", "peak memory, MiB"])
    for tokenizer, script in SCRIPTS.items():
        theirs = Path(shutil.copytree(nanogpt.folder / "data" / script, folder / script))
        shutil.copy(text, theirs / "input.txt")
        commands = {
            f"nanoGPT's {script}/prepare.py": [str(theirs / "prepare.py")],
            "ml_playground": _ours(text, tokenizer),
        }
        tokens = prepare(text, tokenizer)
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                shutil.rmtree(folder / "out", ignore_errors=True)
                measured[name].append(_measured(command))
        for name, runs in measured.items():
            result.rows.append(_row(f"{MIB} MiB, {tokenizer}", name, runs, tokens))
        theirs_s, ours_s = (median([seconds for seconds, _ in runs]) for runs in measured.values())
        result.says.append(f"{tokenizer}: {theirs_s / ours_s:.1f} times nanoGPT.")
    result.says.append(_beside_tiktoken(text))
    large = _text(folder / "large.txt", LARGE_MIB)
    run = _measured(_ours(large, "gpt2"))
    result.rows.append(_row(f"{LARGE_MIB} MiB, gpt2", "ml_playground", [run], prepare(text, "gpt2") * LARGE_MIB / MIB))
    return result


def prepare(text: Path, tokenizer: str) -> int:
    """Our preparation of a text in this process; the number of tokens."""
    config = load_config(_variant(text, tokenizer), name=EXPERIMENT.name, folder=EXPERIMENT.folder)
    with redirect_stdout(StringIO()):
        manifest = prepare_texts([text], config.prepare)
    return manifest.train.tokens + manifest.val.tokens


def _ours(text: Path, tokenizer: str) -> list[str]:
    variant = str(_variant(text, tokenizer))
    return ["ml_playground.cli", "prepare", EXPERIMENT.name, "--exp-config", variant]


def _variant(text: Path, tokenizer: str) -> Path:
    """A configuration that prepares a text into a folder beside it, where nothing is yet."""
    out, variant = text.parent / "out", text.parent / f"{tokenizer}.toml"
    shutil.rmtree(out, ignore_errors=True)
    base, raw, dataset = (json.dumps(str(path)) for path in (EXPERIMENT.config_path, text, out))
    variant.write_text(VARIANT.format(base=base, tokenizer=tokenizer, raw=raw, out=dataset))
    return variant


def _text(path: Path, mebibytes: int) -> Path:
    shakespeare = fetch(TINY_SHAKESPEARE).read_bytes()
    with path.open("wb") as file:
        for _ in range(-(-mebibytes * 2**20 // len(shakespeare))):
            file.write(shakespeare)
        file.truncate(mebibytes * 2**20)
    return path


def _measured(command: list[str]) -> tuple[float, float]:
    """Seconds of a process and the most memory that it had, in MiB."""
    began = time.perf_counter()
    said = run([sys.executable, "-c", WITH_PEAK, *command], Path.cwd())
    return time.perf_counter() - began, int(said.split()[-1]) / 1024


def _row(text: str, name: str, runs: list[tuple[float, float]], tokens: float) -> list[str]:
    seconds = [each for each, _ in runs]
    peak = max(memory for _, memory in runs)
    rate = tokens / median(seconds) / 1e6
    return [text, name, rounds(seconds, 2), f"{median(seconds):.2f}", f"{rate:.1f}", f"{peak:.0f}"]


def _beside_tiktoken(path: Path) -> str:
    """Reading, splitting, encoding and writing, against nothing but the encoding of text that is in memory."""
    encoding = tiktoken.get_encoding("gpt2")
    text, size, threads = path.read_text(encoding="utf-8"), 2**18, os.cpu_count() or 1
    pieces = [text[first : first + size] for first in range(0, len(text), size)]
    alone: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        encoding.encode_ordinary_batch(pieces, num_threads=threads)
        alone.append(time.perf_counter() - began)
        began = time.perf_counter()
        prepare(path, "gpt2")
        ours.append(time.perf_counter() - began)
    return (
        f"In one process, {threads} threads: tiktoken's encode_ordinary_batch alone {rounds(alone, 2)} s, all of our "
        f"preparation {rounds(ours, 2)} s: {median(alone) / median(ours):.2f} of its speed."
    )
