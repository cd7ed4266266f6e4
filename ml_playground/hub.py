"""Models in Hugging Face's format: folders, or names at its hub."""

from collections.abc import Sequence
from pathlib import Path

from ml_playground.errors import CheckpointError


def find_folder(source: str, wanted: Sequence[str]) -> Path:
    """The folder at the path `source`, else the files of the model of that name at the hub, downloaded or cached.

    Args:
        source: a path, or a name such as `openai-community/gpt2`.
        wanted: patterns of the files to download.

    Raises:
        CheckpointError: it is neither.
    """
    path = Path(source)
    if path.is_absolute() and path.is_dir():  # the configuration has made the paths of what there is absolute
        return path
    if path.is_absolute():
        raise CheckpointError(f"{source} is no folder in Hugging Face's format.")
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]  # takes half a second
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(source, allow_patterns=list(wanted)))
    except HFValidationError:
        raise CheckpointError(f"there is no folder {source!r}, and that is no name at Hugging Face's hub.") from None
    except Exception as error:
        reason = (str(error) or "nothing more is known").splitlines()[0]
        raise CheckpointError(
            f"there is no folder {source!r}, and from Hugging Face's hub it could not be had "
            f"({type(error).__name__}: {reason}). With network access it is downloaded once and kept in HF_HOME; "
            "a model that asks for consent needs a token in HF_TOKEN."
        ) from error
