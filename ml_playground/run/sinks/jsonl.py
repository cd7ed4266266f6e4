"""`metrics.jsonl`: a row of JSON for each measurement."""

from collections.abc import Mapping

from ml_playground.config.sections import SinkConfig
from ml_playground.run.records import MetricRow
from ml_playground.run.rows import append_jsonl, keep_rows
from ml_playground.run.sinks.base import Sink, SinkStart
from ml_playground.utils.files import sync


class JsonLinesOptions(SinkConfig):
    """Adds rows to `metrics.jsonl` in the run directory."""

    def build(self, start: SinkStart) -> Sink:
        """See `SinkConfig`."""
        return JsonLines(start)


class JsonLines(Sink):
    """A row per measurement. A resumed run drops the rows that it will write again."""

    def __init__(self, start: SinkStart) -> None:
        self._run, progress = start.run, start.progress
        if start.resumed:
            evaluated = progress.evaluated_at == progress.step  # if not, that step's evaluation is repeated
            keep_rows(
                self._run.metrics,
                lambda row: row["step"] < progress.step + (evaluated or "val/loss" not in row),
            )
        else:
            self._run.set_aside_metrics()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        with self._run.writing():
            append_jsonl(self._run.metrics, MetricRow.of(step, values).as_json())

    def sync(self) -> None:
        """See `Sink`."""
        with self._run.writing():
            if self._run.metrics.exists():
                sync(self._run.metrics)
                sync(self._run.path)
