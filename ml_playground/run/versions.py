"""The versions that results depend on."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("torch", "numpy", "transformers", "peft")


def library_versions() -> dict[str, str]:
    """Versions of this project, of Python, and of the libraries that are installed."""
    versions = {"ml_playground": version("ml-playground"), "python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
