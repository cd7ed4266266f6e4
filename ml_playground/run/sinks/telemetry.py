"""All sinks of a training at once."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Self

from ml_playground.config.sections import SinkConfig
from ml_playground.run.sinks.base import Sink, SinkStart


class Telemetry:
    """Opens sinks on entering, passes each measurement on to all of them, and closes them."""

    def __init__(self, sinks: Sequence[SinkConfig], start: SinkStart) -> None:
        self._wanted = sinks
        self._start = start
        self._sinks: list[Sink] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as closing:
            for wanted in self._wanted:
                sink = wanted.build(self._start)
                closing.callback(sink.close)
                self._sinks.append(sink)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on what was measured: see `Sink.log`."""
        for sink in self._sinks:
            sink.log(step, values)

    def advance(self) -> None:
        """One more step is done."""
        for sink in self._sinks:
            sink.advance()

    def sync(self) -> None:
        """Flush what was logged to disk."""
        for sink in self._sinks:
            sink.sync()
