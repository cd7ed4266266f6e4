"""Models in Hugging Face's format: folders, or names at its hub."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from dotenv import dotenv_values

from ml_playground.errors import CheckpointError

WEIGHT_FILES = ("config.json", "generation_config.json", "*.safetensors", "model.safetensors.index.json")
"""Patterns of the files that hold a model."""

_NOTES = ("_name_or_path", "transformers_version")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = "HF_TOKEN"  # noqa: S105 -- no password: the name of the variable that Hugging Face's libraries read
_TOKENS = (_TOKEN, "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")


def use_token_of(env_file: Path) -> None:
    """Give the libraries the hub's token that stands in a `.env` file, unless the environment has one already."""
    if not any(os.environ.get(name) for name in _TOKENS) and env_file.is_file():
        stated = dotenv_values(env_file)
        if token := next((stated[name] for name in _TOKENS if stated.get(name)), None):
            os.environ[_TOKEN] = token


def find_folder(source: str, wanted: Sequence[str], revision: str | None = None) -> Path:
    """The folder at the path `source`, else the files of the model of that name at the hub, downloaded or cached.

    Args:
        source: a path, or a name such as `openai-community/gpt2`.
        wanted: patterns of the files to download.
        revision: branch, tag or commit at the hub; None is the newest.

    Raises:
        CheckpointError: it is neither.
    """
    path = Path(source)
    if path.is_absolute() and path.is_dir():  # the configuration has made the paths of what there is absolute
        return path
    if path.is_absolute():
        raise CheckpointError(f"{source} is no folder in Hugging Face's format.")
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]  # takes half a second
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(wanted)))
    except HFValidationError:
        raise CheckpointError(f"there is no folder {source!r}, and that is no name at Hugging Face's hub.") from None
    except GatedRepoError:
        raise CheckpointError(
            f"{source} asks for consent. Agree to its terms at https://huggingface.co/{source}, then "
            f"{_how_to_sign_in()}."
        ) from None
    except RevisionNotFoundError:
        raise CheckpointError(f"{source} has no revision {revision!r} at Hugging Face's hub.") from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"there is no folder {source!r}, and no model of that name at Hugging Face's hub that could be seen. "
            f"Check the name; if the model is private, {_how_to_sign_in()}."
        ) from None
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"there is no folder {source!r}, and Hugging Face's hub cannot be reached. With network access a model is "
            "downloaded once and kept in HF_HOME; without, name a folder that holds it."
        ) from None
    except Exception as error:
        raise CheckpointError(
            f"there is no folder {source!r}, and from Hugging Face's hub it could not be had "
            f"({type(error).__name__}: {_without_token(error)})."
        ) from None


def fingerprint(folder: Path) -> str:
    """A hash of what a model computes: its weights, and its configuration but for notes on who wrote it."""
    config: dict[str, object] = json.loads((folder / "config.json").read_bytes())
    computed = {key: value for key, value in config.items() if key not in _NOTES}
    parts = [json.dumps(computed, sort_keys=True), *map(_content, sorted(folder.glob("*.safetensors")))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _content(path: Path) -> str:
    """The SHA-256 of a file; the hub's cache has it for a name behind its links."""
    if _SHA256.fullmatch(name := path.resolve().name):
        return name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _how_to_sign_in() -> str:
    if any(os.environ.get(name) for name in _TOKENS):
        return "see that the token in HF_TOKEN is of an account that may read it"
    return f"put a token of yours (from https://huggingface.co/settings/tokens) into .env, as {_TOKEN}=..."


def _without_token(error: Exception) -> str:
    text = (str(error) or "nothing more is known").splitlines()[0]
    for name in _TOKENS:
        text = text.replace(os.environ.get(name) or "\0", "***")
    return text
