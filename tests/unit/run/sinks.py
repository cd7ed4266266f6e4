"""What the tests of sinks share."""

from ml_playground.config.sections import SinkConfig
from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.sinks import SinkStart, Telemetry
from ml_playground.run.sinks.console import ConsoleOptions
from ml_playground.run.sinks.jsonl import JsonLinesOptions
from ml_playground.run.sinks.tensorboard import TensorBoardOptions

ALL: list[SinkConfig] = [
    ConsoleOptions(kind="console"),
    JsonLinesOptions(kind="jsonl"),
    TensorBoardOptions(kind="tensorboard"),
]


def telemetry(run: RunDirectory, *, resumed_at: int | None = None, max_iters: int = 9) -> Telemetry:
    start = SinkStart(run, max_iters, resumed_at is not None, Progress(step=resumed_at or 0))
    return Telemetry(ALL, start)


def training(loss: float = 1.0) -> dict[str, float]:
    return {
        "train/loss": loss,
        "train/lr": 1e-3,
        "train/tokens_per_sec": 100.0,
        "train/step_time_ms": 500.0,
        "train/grad_norm": 0.25,
    }


def validation(loss: float, bits_per_byte: float = 3.5) -> dict[str, float]:
    return {"val/loss": loss, "val/bits_per_byte": bits_per_byte, "val/accuracy": 0.5}


def position(step: int) -> dict[str, float]:
    return {"tokens": 64 * step, "seconds": step / 2, "flops": 640 * step}
