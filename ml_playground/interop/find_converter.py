"""Finds your llama.cpp and runs its converter from Hugging Face's format to GGUF, passing all arguments on.

llama.cpp's `convert_hf_to_gguf.py` needs the folders beside it, so a copy of that file alone does not run. This file
runs as a script of its own, in a process whose `sys.path` is the converter's, and imports nothing of the package.
`tools/llama_cpp/` makes it available under a stable path.
"""

import os
import runpy
import shutil
import sys
from pathlib import Path

NAME = "convert_hf_to_gguf.py"
_CHECKOUT = Path(__file__).parents[2] / "tools" / "llama_cpp" / "llama.cpp"  # in a clone of this project
ADVICE = f"""\
Get llama.cpp once, with git:

  git clone --depth 1 https://github.com/ggml-org/llama.cpp

and say where it is in one of these ways:

  - the environment variable LLAMA_CPP names its folder;
  - in a clone of this project, its folder is tools/llama_cpp/llama.cpp;
  - its folder is in PATH, so that {NAME} is found there;
  - for `export`, [export.gguf] convert_bin in the TOML file names its folder.
"""


def find() -> Path:
    """The converter: of the llama.cpp that is named, else of one in the usual places."""
    named = os.environ.get("LLAMA_CPP")
    if named is not None:
        path = Path(named) / NAME if Path(named).is_dir() else Path(named)
        if path.is_file():
            return path
        sys.exit(f"LLAMA_CPP is {named}, where no {NAME} is.\n\n{ADVICE}")
    beside, in_path = _CHECKOUT / NAME, shutil.which(NAME, mode=os.F_OK)
    if beside.is_file():
        return beside
    if in_path is not None:
        return Path(in_path).resolve()
    sys.exit(f"No llama.cpp was found.\n\n{ADVICE}")


def main() -> None:
    """Run the converter in this process."""
    found = find()
    sys.argv[0] = str(found)
    sys.path[0] = str(found.parent)
    runpy.run_path(str(found), run_name="__main__")


if __name__ == "__main__":
    main()
