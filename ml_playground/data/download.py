"""Files of raw text from the internet."""

import os
from dataclasses import dataclass
from pathlib import Path

import pooch  # pyright: ignore[reportMissingTypeStubs] -- it ships none
import requests

from ml_playground.errors import DataError

CACHE_VARIABLE = "ML_PLAYGROUND_CACHE"


@dataclass(frozen=True)
class Download:
    """A file on the internet, known by its hash."""

    name: str
    url: str
    sha256: str


TINY_SHAKESPEARE = Download(
    name="tinyshakespeare/input.txt",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)


def cache_folder() -> Path:
    """Where downloads are kept: `$ML_PLAYGROUND_CACHE`, else the system's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("ml_playground")).expanduser()


def fetch(download: Download) -> Path:
    """The downloaded file in the cache folder; a file that is there already with the right hash is used as it is.

    Raises:
        DataError: it is not there and could not be downloaded whole.
    """
    path = cache_folder() / download.name
    keeper = pooch.create(  # pyright: ignore[reportUnknownMemberType] -- no stubs
        path=cache_folder(),
        base_url="",
        registry={download.name: f"sha256:{download.sha256}"},
        urls={download.name: download.url},
        retry_if_failed=2,
    )
    try:
        return Path(keeper.fetch(download.name, progressbar=True))
    except (requests.RequestException, ValueError) as error:  # pooch's word for a wrong hash is ValueError
        there = "The file there is another one or damaged. " if path.exists() else ""
        raise DataError(
            f"{download.url} could not be downloaded ({type(error).__name__}). {there}"
            f"Download it by other means to {path} (sha256 {download.sha256[:12]}…), "
            f"or set {CACHE_VARIABLE} to a folder that holds {download.name}."
        ) from error
