"""Measures ml_playground beside nanoGPT and writes docs/benchmarks.md: make bench NANOGPT=<folder of a clone>."""

import argparse
import tempfile
from pathlib import Path

from benchmarks.contenders import NanoGPT, ours
from benchmarks.overhead import loop_overhead
from benchmarks.preparation import preparation
from benchmarks.report import write
from benchmarks.sampling import sampling
from benchmarks.startup import startup
from benchmarks.training import time_to_quality, training_speed
from ml_playground.data.download import TINY_SHAKESPEARE, fetch

BENCHMARKS = {
    "time-to-quality": time_to_quality,
    "training-speed": training_speed,
    "loop-overhead": loop_overhead,
    "sampling": sampling,
    "preparation": preparation,
    "start-up": startup,
}


def main() -> None:
    """Run all benchmarks, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("nanogpt", type=Path, help="folder of a nanoGPT clone; it is copied, not changed")
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(BENCHMARKS)}; all if left out")
    parser.add_argument("--text", type=Path, help="UTF-8 text to train on instead of Tiny Shakespeare")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)} (there are {', '.join(BENCHMARKS)})")
    if not (options.nanogpt / "train.py").is_file():
        parser.error(f"{options.nanogpt} is no clone of nanoGPT (git clone https://github.com/karpathy/nanoGPT)")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        ours("prepare", "shakespeare_char")
        nanogpt = NanoGPT(options.nanogpt, scratch, options.text or fetch(TINY_SHAKESPEARE))
        for name in options.names or BENCHMARKS:
            write(
                BENCHMARKS[name](nanogpt, scratch),
                nanogpt=options.nanogpt,
                of="" if options.text is None else options.text.stem,
            )


if __name__ == "__main__":
    main()
