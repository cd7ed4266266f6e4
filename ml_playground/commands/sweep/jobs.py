"""How many runs of a sweep this machine does at the same time, and on what each of them computes."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ml_playground.config.devices import missing_device
from ml_playground.config.experiment import ExperimentConfig

_MOST_JOBS = 8
_PATIENCE = 20  # seconds for nvidia-smi


class Jobs(NamedTuple):
    """The workers of a sweep.

    Attributes:
        environments: variables of each.
        threads: of each, where the file states none; 0 leaves that to PyTorch.
    """

    environments: list[Mapping[str, str]]
    threads: int


def jobs_for(config: ExperimentConfig) -> Jobs:
    """The workers for a sweep with this base."""
    settings, cores = config.train.runtime, _cores()
    gpus = _gpus() if settings.device in ("cuda", "auto") else []
    if gpus:
        default = len(gpus)
    elif settings.device == "mps" or (settings.device == "auto" and missing_device("mps") is None):
        default = 1
    else:
        default = min(_MOST_JOBS, max(1, cores // max(1, settings.threads)))
    count = config.sweep.jobs or default
    threads = max(1, cores // count) if count > 1 else 0
    each: list[Mapping[str, str]] = [
        {"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if len(gpus) > 1 else {} for index in range(count)
    ]
    return Jobs(each, threads)


def _cores() -> int:
    """The cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[str]:
    """Names of the CUDA devices, as `CUDA_VISIBLE_DEVICES` takes them; torch is not asked, which would occupy one."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    if (program := shutil.which("nvidia-smi")) is None or platform.system() != "Linux":
        return []
    asked = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=_PATIENCE, check=True).stdout  # noqa: S603 -- its arguments are those above
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in found.splitlines() if line.strip()]
