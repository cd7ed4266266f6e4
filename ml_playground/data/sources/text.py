"""Running text."""

from ml_playground.data.sources.base import RunningText


class Text(RunningText):
    """All `.txt` files as one running text."""
