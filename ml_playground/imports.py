"""Python files that users bring: `prepare.py` and models of their own."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ml_playground.errors import PlaygroundError


def code_hash(path: Path | None) -> str | None:
    """The SHA-256 of a Python file; None where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None


def import_file(path: Path, name: str) -> ModuleType:
    """Run a Python file as the module `name`.

    Raises:
        PlaygroundError: it is not there, or no Python file. What it raises itself comes through.
    """
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise PlaygroundError(f"{path} is no Python file that could be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module
