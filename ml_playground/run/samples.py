"""Samples, saved in the run directory."""

import sys
from datetime import datetime

from ml_playground.run.directory import RunDirectory
from ml_playground.run.records import SampleRow
from ml_playground.run.rows import append_jsonl, append_text
from ml_playground.utils.files import system_error

RULE = "-" * 15
"""Separates samples."""


class SampleWriter:
    """Writes samples to `samples.jsonl` and a file of their own in `samples/`.

    They are on the screen already, so if they cannot be saved, such as on a read-only disk, a warning is printed once
    and sampling continues.
    """

    def __init__(self, run: RunDirectory, now: datetime) -> None:
        self._run = run
        self._text = run.sample_text(now)
        self._refused = False

    def __call__(self, row: SampleRow) -> None:
        """Save a sample."""
        if self._refused:
            return
        try:
            append_jsonl(self._run.samples, row.as_json())
            append_text(self._text, f"{row.prompt}{row.text}\n{RULE}\n")
        except OSError as error:
            if (cause := system_error(error)) is None:
                raise
            self._refused = True
            print(f"! samples cannot be saved in {self._run.path}: {cause.strerror}", file=sys.stderr)
