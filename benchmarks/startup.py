"""How long commands take to do anything."""

import json
import shutil
import time
from pathlib import Path

from benchmarks.contenders import NanoGPT, ours
from benchmarks.report import Result, median, rounds
from benchmarks.training import BASE

ROUNDS = 3
ONE_STEP = """\
extends = "{base}"
[train.schedule]
warmup_iters = 0
[train.runtime]
out_dir = {out}
max_iters = 1
eval_iters = 1
"""


def startup(_nanogpt: NanoGPT, scratch: Path) -> Result:
    """Seconds of whole processes."""
    variant, out = scratch / "one_step.toml", scratch / "one_step"
    variant.write_text(ONE_STEP.format(base=BASE, out=json.dumps(str(out))))
    commands = {
        "`--help`": ["--help"],
        "`describe shakespeare_char`": ["describe", "shakespeare_char"],
        "`train`, one step and two small evaluations": ["train", "shakespeare_char", "--exp-config", str(variant)],
    }
    result = Result("start-up", ["command", "seconds", "median"])
    for name, arguments in commands.items():
        seconds: list[float] = []
        for _ in range(ROUNDS):
            shutil.rmtree(out, ignore_errors=True)
            began = time.perf_counter()
            ours(*arguments)
            seconds.append(time.perf_counter() - began)
        result.rows.append([name, rounds(seconds, 2), f"{median(seconds):.2f}"])
    return result
