"""A sink that writes a table."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from ml_playground.config.sections import SinkConfig
from ml_playground.run.sinks import Sink, SinkStart


class TableOptions(SinkConfig):
    """Adds lines of step, name and value to a file in the run directory."""

    file: str = Field("table.csv", min_length=1, description="its name")

    def build(self, start: SinkStart) -> Sink:
        """See `SinkConfig`."""
        return Table(start.run.path / self.file)


class Table(Sink):
    """A file of lines."""

    def __init__(self, path: Path) -> None:
        self.lines = path.open("a", encoding="utf-8")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        self.lines.writelines(f"{step},{name},{value}\n" for name, value in values.items())

    def close(self) -> None:
        """See `Sink`."""
        self.lines.close()
