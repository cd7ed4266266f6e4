"""The TOML file that a run was trained with."""

from contextlib import suppress
from pathlib import Path

from ml_playground.config.fields import ConfigFile
from ml_playground.errors import RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.records import RunRecord
from ml_playground.utils.paths import display_path, project_root, real_path


def require_same_file(run: RunDirectory, file: ConfigFile | None) -> None:
    """Refuse to train in the run of another TOML file, such as a preset of the same name in another folder.

    A file that sets `out_dir` itself may share another file's run. If the other file is gone, it was moved or renamed.

    Raises:
        RunDirectoryError: the run belongs to another file.
    """
    other = other_file(run, file)
    if file is not None and other is not None:
        raise RunDirectoryError(
            f"{run.path}: this run was trained with {display_path(other)}, but this command uses "
            f"{display_path(file.path)}. Rename one of the two, or set [train.runtime] out_dir in the latter: "
            "another folder for a separate run, or this one to resume this run with it."
        )


def other_file_warning(run: RunDirectory, out_dir: Path, file: ConfigFile | None) -> str | None:
    """A warning if the run in `out_dir`, where `file` would train, was trained with another TOML file."""
    if run.path == out_dir and (other := other_file(run, file)) is not None:
        return f"{display_path(run.path)} was trained with {display_path(other)}, another TOML file"
    return None


def other_file(run: RunDirectory, file: ConfigFile | None) -> Path | None:
    """The TOML file that a run was trained with, if it exists and is not `file`, and `file` does not set `out_dir`."""
    if file is None or file.names_run:
        return None
    record = None
    with suppress(RunDirectoryError):
        record = RunRecord.read(run.info)
    toml = None if record is None else record.toml
    if toml is None or "\0" in toml:
        return None  # not recorded
    trained_with = real_path(_project(run) / toml)
    return trained_with if trained_with != file.path and trained_with.is_file() else None


def file_name(run: RunDirectory, file: ConfigFile | None) -> str | None:
    """The TOML file's name in `run.json`: relative to the run's project, so that both can be moved together."""
    root = _project(run)
    if file is None:
        return None
    return file.path.relative_to(root).as_posix() if file.path.is_relative_to(root) else str(file.path)


def _project(run: RunDirectory) -> Path:
    return project_root(run.info)
