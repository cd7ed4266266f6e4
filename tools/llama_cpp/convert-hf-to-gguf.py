"""Finds your llama.cpp and runs its converter from Hugging Face's format to GGUF, passing all arguments on.

llama.cpp's `convert_hf_to_gguf.py` needs the folders beside it, so a copy of that file alone does not run; this file
has the path that stays. See the README beside it.
"""

import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

NAME = "convert_hf_to_gguf.py"
ADVICE = f"""\
No llama.cpp was found. Get it once, with git:

  git clone --depth 1 https://github.com/ggml-org/llama.cpp

and say where it is in one of these ways:

  - the environment variable LLAMA_CPP names its folder;
  - its folder is {Path(__file__).with_name("llama.cpp")};
  - its folder is in PATH, so that {NAME} is found there.
"""


def candidates() -> Iterator[Path]:
    """Where the converter may be, the likeliest place first."""
    if "LLAMA_CPP" in os.environ:
        yield Path(os.environ["LLAMA_CPP"]) / NAME
    yield Path(__file__).with_name("llama.cpp") / NAME
    in_path = shutil.which(NAME, mode=os.F_OK)
    if in_path is not None:
        yield Path(in_path).resolve()


def main() -> None:
    """Run the converter in this process."""
    found = next((path for path in candidates() if path.is_file()), None)
    if found is None:
        sys.exit(ADVICE)
    sys.argv[0] = str(found)
    sys.path[0] = str(found.parent)
    runpy.run_path(str(found), run_name="__main__")


if __name__ == "__main__":
    main()
