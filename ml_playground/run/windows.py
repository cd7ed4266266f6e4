"""What each window of an evaluation sums to, as a NumPy file beside a run."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml_playground.errors import RunDirectoryError
from ml_playground.utils.files import atomic_write, refuse_other
from ml_playground.utils.paths import display_path

Windows = npt.NDArray[np.float64]

_SHOWN = 16  # hexadecimal digits of a hash


def content_hash(windows: Windows) -> str:
    """The beginning of the SHA-256 of `windows`, nats of shape (W,)."""
    return hashlib.sha256(windows.tobytes()).hexdigest()[:_SHOWN]


def write_windows(path: Path, windows: Windows) -> None:
    """Write `windows`, nats of shape (W,), atomically. Raises StorageError if the system refuses."""
    with atomic_write(path) as file:
        np.lib.format.write_array(file, windows, allow_pickle=False)


def read_windows(path: Path) -> Windows | None:
    """What `write_windows` has written, None where there is no file.

    Raises:
        RunDirectoryError: the file holds something else.
    """
    try:
        refuse_other(path)
        with path.open("rb") as file:
            windows: Windows = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{display_path(path)} is damaged") from error
    if windows.dtype != np.float64 or windows.ndim != 1:
        raise RunDirectoryError(f"{display_path(path)} is damaged")
    return windows


def predictions(tokens: int, *, context: int, stride: int) -> npt.NDArray[np.int64]:
    """How many predictions count in each window.

    Args:
        tokens: all predictions of the evaluation, at least 1.
        context: tokens per window.
        stride: tokens from one window to the next.

    Returns:
        Shape (W,): all of the first window, then `stride` each, and what is left in the last.
    """
    context = min(context, tokens)
    ends = np.minimum(np.arange(context, tokens + stride, stride), tokens)
    return np.diff(ends, prepend=0)
