"""Finds your llama.cpp and runs its converter, passing all arguments on. See the README beside it."""

import runpy
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "ml_playground" / "interop" / "find_converter.py"

if __name__ == "__main__":
    runpy.run_path(str(PROGRAM), run_name="__main__")
