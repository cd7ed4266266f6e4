"""Where a training reports what it measures: the console, `metrics.jsonl`, TensorBoard, and users' own sinks."""

from ml_playground.run.sinks.base import POSITION, Sink, SinkStart
from ml_playground.run.sinks.telemetry import Telemetry

__all__ = ["POSITION", "Sink", "SinkStart", "Telemetry"]
