"""The folder of a sweep."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ml_playground.config.fields import ConfigFile
from ml_playground.errors import LockedError, RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sweep import SWEEP_FILE, SweepRecord
from ml_playground.utils.files import storage_errors
from ml_playground.utils.locks import locked
from ml_playground.utils.paths import display_path, project_root, real_path


@contextmanager
def locked_home(folder: Path, file: ConfigFile) -> Generator[SweepRecord | None]:
    """Keep other processes out of the folder of the sweep in `file`; what an earlier command has recorded there.

    Raises:
        RunDirectoryError: one is in there, or the folder is that of a run or of another sweep.
    """
    if RunDirectory(folder).info.exists():
        raise RunDirectoryError(
            f"{display_path(folder)} is the folder of a run. Set [train.runtime] out_dir to another for the sweep, or "
            "rename its TOML file, after which the folder is named."
        )
    record = None
    with suppress(RunDirectoryError):  # damaged: it is written again
        record = SweepRecord.read(folder)
    if record is not None and not file.names_run:
        _refuse_other(folder, record, file)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / "sweep.lock"):
            yield record
    except LockedError as error:
        raise RunDirectoryError(
            f"{display_path(folder)}: another process ({error.owner}) runs this sweep. Wait for it, or stop it."
        ) from None


def file_name(folder: Path, file: ConfigFile) -> str:
    """The TOML file's name in `sweep.json`: relative to the project, so that both can be moved together."""
    root = project_root(folder / SWEEP_FILE)
    return file.path.relative_to(root).as_posix() if file.path.is_relative_to(root) else str(file.path)


def _refuse_other(folder: Path, record: SweepRecord, file: ConfigFile) -> None:
    other = real_path(project_root(folder / SWEEP_FILE) / record.toml)
    if other != file.path and other.is_file():
        raise RunDirectoryError(
            f"{display_path(folder)} is the folder of another sweep, {display_path(other)}. Rename one of the two "
            "files, or set [train.runtime] out_dir in this one."
        )
