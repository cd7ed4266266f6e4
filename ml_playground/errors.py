"""What can go wrong and be mended by the user. Everything else that is raised is a bug and shows its traceback."""

import signal
from collections.abc import Sequence
from pathlib import Path


class PlaygroundError(Exception):
    """A mistake or mishap whose message says what to do. The command line prints it and exits with `exit_code`."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(message.encode(errors="backslashreplace").decode())  # names of files need not be UTF-8


class ConfigError(PlaygroundError):
    """All mistakes of one configuration, each as `path:line: [section] key: what is wrong`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class DataError(PlaygroundError):
    """Text or prepared data is missing, does not decode, is stale, or is too short."""


class TooLittleTextError(DataError):
    """Training or validation would get no text."""


class PromptError(PlaygroundError):
    """A prompt cannot be encoded with the model's vocabulary."""


class MissingExtraError(PlaygroundError):
    """A library is not installed that comes with an extra of this package."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed. It comes with: pip install 'ml-playground[{extra}]'")


class ExportError(PlaygroundError):
    """A model cannot be given to another program, or what was written for it does not compute the same."""


class AnalysisError(PlaygroundError):
    """A model does not have, or does not show, what an analysis looks at."""


class DeviceError(PlaygroundError):
    """The configured device or number format is not available on this machine."""


class CheckpointError(PlaygroundError):
    """A checkpoint is missing, from a newer version, not a checkpoint, or does not belong to this data."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is cut short or its checksums do not match."""


class DamagedFolderError(DamagedCheckpointError):
    """A file of a folder is missing or altered since it was written."""


class RunDirectoryError(PlaygroundError):
    """A run directory is not a folder, or another process is training in it."""


class StorageError(PlaygroundError):
    """The system refused to write: no room, no permission, a failing disk. No file is damaged."""


class LockedError(PlaygroundError):
    """Another process holds a lock."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path}: process {owner} holds this lock")
        self.owner = owner


class OutOfMemoryError(PlaygroundError):
    """Model and batch do not fit into the device's memory."""


class DivergedError(PlaygroundError):
    """The loss or a gradient became NaN or infinite; the message says where, and adds what to do."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where}. The last good checkpoint is kept. Training would fail here again: change something first, "
            'such as a lower [train.optim] learning_rate, a longer [train.schedule] warmup_iters or dtype = "float32".'
        )


class StoppedBySignalError(PlaygroundError):
    """Training was stopped by a signal after it had finished its step and saved."""

    def __init__(self, message: str, signum: signal.Signals) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum
