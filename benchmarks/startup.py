"""How long commands take to do anything."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders import NanoGPT, ours
from benchmarks.report import Result, median, rounds
from benchmarks.training import BASE, CONFIGS
from ml_playground import experiments

ROUNDS = 5
PHRASES = experiments.find("phrases").config_path
EACH_STEP = """\
extends = {base}
[train.runtime]
out_dir = {out}
log_interval = 1
"""
SHORT = "max_iters = 50\n"


def startup(_nanogpt: NanoGPT, scratch: Path) -> Result:
    """Seconds from the start of a command to what its user waits for."""
    ours("prepare", "phrases")
    fast, phrases, trained = (scratch / name for name in ("fast.toml", "phrases.toml", "trained.toml"))
    for variant, base in ((fast, CONFIGS / "shakespeare_char_fast.toml"), (phrases, PHRASES), (trained, PHRASES)):
        settings = EACH_STEP.format(base=json.dumps(str(base)), out=json.dumps(str(_run(variant))))
        variant.write_text(settings + (SHORT if variant is trained else ""))
    ours("train", "phrases", "--exp-config", str(trained))
    first_step = "step 1/"
    waits: dict[str, Callable[[], float]] = {
        "importing torch, for comparison": lambda: _seconds(None, "-c", "import torch"),
        "`--help`": lambda: _until(None, "--help"),
        "a mistake: no such TOML file": lambda: _until(
            None, "train", "phrases", "--exp-config", str(scratch / "x.toml")
        ),
        "`list`": lambda: _until(None, "list"),
        "`describe phrases`, trained": lambda: _until(None, "describe", "phrases", "--exp-config", str(trained)),
        "`sample phrases`, first character": lambda: _until("", "sample", "phrases", "--exp-config", str(trained)),
        "`train phrases`, first step": lambda: _until(first_step, "train", "phrases", variant=phrases),
        "`shakespeare_char_fast`, first step": lambda: _until(first_step, "train", BASE.parent.name, variant=fast),
    }
    result = Result("start-up", ["command", "seconds", "median"])
    for name, once in waits.items():
        seconds = [once() for _ in range(ROUNDS)]
        result.rows.append([name, rounds(seconds, 2), f"{median(seconds):.2f}"])
    return result


def _run(variant: Path) -> Path:
    return variant.with_name(f"{variant.stem}_run")


def _until(start: str | None, *arguments: str, variant: Path | None = None) -> float:
    """Seconds until a command prints a line with this start, or its first character for "", or ends for None.

    A `variant` is the TOML file of a training, which begins from scratch.
    """
    command = ["-u", "-m", "ml_playground.cli", *arguments]
    if variant is not None:
        shutil.rmtree(_run(variant), ignore_errors=True)
        command += ["--exp-config", str(variant)]
    return _seconds(start, *command)


def _seconds(start: str | None, *arguments: str) -> float:
    """Seconds until Python with these arguments prints such a line, as `_until` has it."""
    command = [sys.executable, *arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:
        assert process.stdout is not None
        if start == "":
            process.stdout.read(1)
        elif start is not None:
            next(line for line in process.stdout if line.startswith(os.fsencode(start)))
        else:
            process.stdout.read()
            process.wait()
        seconds = time.perf_counter() - began
        process.kill()
    return seconds
