"""Whether a device can be here at all, told in milliseconds. `runtime.resolve`, which asks torch, has the last word."""

import ctypes
import platform
import sys
from pathlib import Path


def missing_device(device: str) -> str | None:
    """Why `device` cannot work on this machine, or None if it may."""
    if device == "mps" and (sys.platform, platform.machine()) != ("darwin", "arm64"):
        return "mps needs a Mac with Apple silicon"
    if device == "cuda" and not _has_cuda_driver():
        return "no CUDA driver on this machine"
    return None


def _has_cuda_driver() -> bool:
    if Path("/dev/kfd").exists():  # AMD's driver; PyTorch's builds for it call it cuda too
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
