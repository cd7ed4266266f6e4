"""Models in Hugging Face's format: folders, or names on its Hub."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

from ml_playground.errors import CheckpointError, DamagedFolderError, PlaygroundError
from ml_playground.utils.checksums import NAME as CHECKSUMS
from ml_playground.utils.checksums import verify_checksums
from ml_playground.utils.model_folder import read_table, refuse_others
from ml_playground.utils.paths import display_path

WEIGHT_FILES = ("config.json", "generation_config.json", "*.safetensors", "model.safetensors.index.json")
"""Patterns of the files that hold a model."""

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_OTHER_FORMS = ("consolidated*", "*/*")  # the same weights again
_LISTED = (CHECKSUMS, "merge.json")  # a folder with any of these was written with checksums
_NOTES = ("_name_or_path", "transformers_version")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_ENV_FILE: ContextVar[Path | None] = ContextVar("_ENV_FILE", default=None)


def load_env_token(env_file: Path) -> None:
    """Look for the Hub's token in a `.env` file, if the environment has none."""
    _ENV_FILE.set(env_file)


def find_folder(source: str, wanted: Sequence[str], revision: str | None = None) -> Path:
    """The folder at the path `source`, else the files of the model of that name on the Hub, downloaded or cached.

    Args:
        source: a path, or a name such as `openai-community/gpt2`.
        wanted: patterns of the files to download.
        revision: branch, tag or commit on the Hub; None is the newest.

    Raises:
        CheckpointError: it is neither, or has something else in place of its files, such as pointers of Git LFS.
    """
    path = Path(source)
    if not path.is_absolute():
        path = _downloaded(source, wanted, revision)
    elif not path.is_dir():  # the configuration has made absolute what is, or can only be, a path
        raise CheckpointError(f"there is no folder {display_path(path)}.")
    refuse_others(path, wanted)
    verify_folder(path)
    return path


def verify_folder(path: Path) -> None:
    """Raises CheckpointError if a folder that `merge` or `export` wrote has been altered. Others have no checksums."""
    if any((path / name).is_file() for name in _LISTED):
        files = sorted(each for each in path.iterdir() if each.is_file())
        _verify(path, tuple((each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in files))


@lru_cache(maxsize=16)
def _verify(folder: Path, _files: tuple[tuple[str, int, int], ...]) -> None:
    """Verify a folder once, unless the names, sizes or times of its files have changed since."""
    try:
        verify_checksums(folder)
    except DamagedFolderError as error:
        listed = " and ".join(name for name in _LISTED if (folder / name).is_file())
        raise CheckpointError(f"{error}. If that was on purpose, delete {listed} there.") from error


def _downloaded(source: str, wanted: Sequence[str], revision: str | None) -> Path:
    from huggingface_hub import errors, snapshot_download  # pyright: ignore[reportUnknownVariableType]  # half a second

    token = _token()
    raised = (  # of which most are an OSError or a ValueError
        OSError,
        ValueError,
        errors.HTTPError,  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage]  # its client's
        errors.EntryNotFoundError,
        errors.RevisionResolutionError,
        errors.XetDownloadError,
        errors.CorruptedCacheException,
    )
    try:
        found = snapshot_download(
            source, revision=revision, allow_patterns=list(wanted), ignore_patterns=list(_OTHER_FORMS), token=token
        )
    except raised as error:
        raise CheckpointError(explain_hub_error(source, revision, error, token)) from None
    return Path(found)


def explain_hub_error(source: str, revision: str | None, error: Exception, token: str | None) -> str:
    """Why a model cannot be downloaded, and what to do about it."""
    from huggingface_hub import errors

    if token is None:
        sign_in = "put your token (from https://huggingface.co/settings/tokens) into .env, as HF_TOKEN=..."
    else:
        sign_in = "check that the token in HF_TOKEN, or in .env, belongs to an account that may read it"
    nowhere = f"there is no folder {source!r}, and"
    match error:
        case errors.HFValidationError():
            as_name = source.removeprefix("https://huggingface.co/").strip("/")
            hint = f" (write {as_name})" if as_name != source else ""
            return f"{nowhere} that is not a name on the Hugging Face Hub{hint}."
        case errors.GatedRepoError():
            return f"{source} is a gated model. Accept its terms at https://huggingface.co/{source}, then {sign_in}."
        case errors.RevisionNotFoundError():
            return f"{source} has no revision {revision!r} on the Hugging Face Hub."
        case errors.RepositoryNotFoundError():
            return (
                f"{nowhere} no visible model of that name on the Hugging Face Hub. Check the name; if the "
                f"model is private, {sign_in}."
            )
        case errors.LocalEntryNotFoundError():
            return (
                f"{nowhere} the Hugging Face Hub cannot be reached. Models are cached in HF_HOME after the first "
                "download; offline, name a folder that holds the model."
            )
        case _:
            reason = (str(error) or "nothing more is known").splitlines()[0].replace(token or "\0", "***")
            return f"{nowhere} it cannot be downloaded from the Hugging Face Hub ({type(error).__name__}: {reason})."


def _token() -> str | None:
    """The Hub's token, from the environment or the `.env` file."""
    from dotenv import dotenv_values  # which an extra brings

    env_file = _ENV_FILE.get()
    try:
        stated = dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    except UnicodeDecodeError:
        raise PlaygroundError(f"{env_file} is not UTF-8 text.") from None
    return next((value for known in (os.environ, stated) for name in _TOKENS if (value := known.get(name))), None)


def fingerprint(folder: Path) -> str:
    """A hash of what a model computes: its weights, and its configuration but for notes on who wrote it.

    Raises:
        CheckpointError: there is no configuration that could be read, or weights in the Hub's cache have been altered.
    """
    try:
        refuse_others(folder, WEIGHT_FILES)
        config = read_table(folder / "config.json")
    except FileNotFoundError:
        if (folder / "adapter_config.json").exists():
            raise CheckpointError(
                f"{folder} contains adapters, not a full model. Run 'merge', and name the folder that it writes."
            ) from None
        raise CheckpointError(f"{folder} has no config.json: it is not a model in Hugging Face's format.") from None
    computed = {key: value for key, value in config.items() if key not in _NOTES}
    weights = [path for path in sorted(folder.glob("*.safetensors")) if not path.match(_OTHER_FORMS[0])]
    parts = [json.dumps(computed, sort_keys=True), *map(_content, weights)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _content(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        CheckpointError: it is a blob of the Hub's cache, which has another for its name.
    """
    path = path.resolve()
    about = path.stat()
    content = _hashed(path, about.st_size, about.st_mtime_ns)
    if _SHA256.fullmatch(path.name) and path.name != content:
        raise CheckpointError(
            f"{path} is damaged: its content is not what was downloaded. Delete it to download it again."
        )
    return content


@lru_cache(maxsize=1024)
def _hashed(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
