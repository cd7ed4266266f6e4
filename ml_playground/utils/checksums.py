"""Checksums of a folder: its `checksums.json` covers every file written with it."""

import hashlib
import json
from pathlib import Path

from ml_playground.errors import DamagedFolderError
from ml_playground.utils.files import json_text, read_file
from ml_playground.utils.paths import display_path
from ml_playground.utils.tables import is_table

NAME = "checksums.json"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in `folder`, which is not in use yet."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != NAME)
    (folder / NAME).write_bytes(json_text({name: sha256_of(folder / name) for name in names}))


def verify_checksums(folder: Path) -> None:
    """Compare the files in `folder` with its checksums; files added later are ignored.

    Raises:
        DamagedFolderError: a file, or the list itself, is missing, cut short or altered.
    """
    path = folder / NAME
    try:
        text = read_file(path)
        listed: object = json.loads(text)
        is_as_written = json_text(listed) == text
    except FileNotFoundError as error:
        raise DamagedFolderError(f"{display_path(path)} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFolderError(f"{display_path(path)}: damaged ({error})") from error
    if not is_table(listed) or not is_as_written:
        raise DamagedFolderError(f"{display_path(path)}: damaged (it is not as it was written)")
    for name, digest in listed.items():
        file = folder / name
        try:
            altered = not file.is_file() or sha256_of(file) != digest
        except OSError as error:
            raise DamagedFolderError(f"{display_path(file)}: damaged ({error.strerror})") from error
        if altered:
            raise DamagedFolderError(f"{display_path(file)}: damaged (its checksum does not match {NAME})")
