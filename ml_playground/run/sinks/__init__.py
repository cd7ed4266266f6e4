"""What a run reports while it trains: the console, `metrics.jsonl` and TensorBoard."""

from ml_playground.run.sinks.telemetry import Telemetry

__all__ = ["Telemetry"]
