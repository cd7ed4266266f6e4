"""Where a training reports what it measures: the console, `metrics.jsonl`, TensorBoard, and sinks of users' own."""

from ml_playground.run.sinks.base import POSITION, Sink, SinkStart
from ml_playground.run.sinks.telemetry import Telemetry

__all__ = ["POSITION", "Sink", "SinkStart", "Telemetry"]
