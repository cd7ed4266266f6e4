"""A sink as a user's own file brings it."""

CSV = """
from pathlib import Path

from pydantic import Field

from ml_playground.config.registries import SINKS
from ml_playground.config.sections import SinkConfig
from ml_playground.run.sinks import Sink


@SINKS.register("csv")
class CSVOptions(SinkConfig):
    \'\'\'Adds lines to a table.\'\'\'

    file: Path = Field(Path("table.csv"), description="where")
    every: int = Field(1, ge=1, description="rows between lines")

    def build(self, start):
        return CSV(self.file)


class CSV(Sink):
    def __init__(self, file):
        self.file = file.open("a")

    def log(self, step, values):
        self.file.writelines(f"{step},{name},{value}\\n" for name, value in values.items())

    def close(self):
        self.file.close()
"""
