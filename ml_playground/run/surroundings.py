"""What results depend on besides the configuration: versions, the commit of the user's project, and the machine."""

import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ml_playground.config.parts import PartOf, classes_in, code_of
from ml_playground.config.registries import MODELS, OPTIMIZERS, SCHEDULES
from ml_playground.run.records import Commit, Machine
from ml_playground.utils.tables import Table

_LIBRARIES = ("torch", "numpy", "transformers", "peft")
_PARTS = {  # of [train], those that its results depend on
    "model": PartOf(MODELS, "gpt2"),
    "optim": PartOf(OPTIMIZERS, "adamw"),
    "schedule": PartOf(SCHEDULES, "cosine"),
}
CODE = "code of "
"""With what versions of parts that are not built in begin, such as "code of optimizers.lion"."""

_PATIENCE = 2  # seconds for git, which can take long in a large project on a network drive


def versions_of(train: Table) -> dict[str, str]:
    """Versions of what a run is computed by.

    Args:
        train: its resolved `[train]` tables.

    Returns:
        Versions of this project, of Python and of the libraries that are installed; and a hash of the file of each
        optimiser, schedule, model and part of a model that is not built in.
    """
    versions = {"ml_playground": version("ml-playground"), "python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    for section, mark in _PARTS.items():
        for name, part in classes_in(mark, train[section]):
            if (code := code_of(part)) is not None:
                versions[f"{CODE}{name}"] = code
    return versions


def commit_of(project: Path) -> Commit | None:
    """The commit of the project in a folder, None outside git, or if git fails."""
    if not any((folder / ".git").exists() for folder in (project, *project.parents)):
        return None
    state = _git(project, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", ".")
    if state is None:
        name = _git(project, "rev-parse", "--verify", "HEAD")
        return None if name is None else Commit(name.strip(), clean=None)
    lines = state.splitlines()
    name = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    return None if name == "(initial)" else Commit(name, clean=all(line.startswith("#") for line in lines))


def _git(project: Path, *arguments: str) -> str | None:
    """Git's output, None if it fails. Git is kept from writing files and from starting other programs."""
    if (git := shutil.which("git")) is None:
        return None
    outside = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_")
    }  # set in a hook, for another tree
    try:
        return subprocess.run(  # noqa: S603 -- its arguments are those above
            [git, "-C", str(project), "-c", "core.fsmonitor=false", *arguments],
            env={**outside, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def machine(device: str) -> Machine:
    """This machine; `device` is the name of the compute device."""
    memory = 0
    with suppress(OSError, ValueError):  # not every system reports it
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(_processor(), memory, device, f"{platform.system()} {platform.machine()}")


def _processor() -> str:
    """The processor's name as the system reports it."""
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout.strip()  # noqa: S603 -- as above
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor()
