"""One object that takes each measurement and sends it everywhere it belongs."""

import math
import threading
from collections.abc import Generator
from contextlib import contextmanager

from torch.utils.tensorboard.writer import SummaryWriter

from ml_playground.errors import RunDirectoryError
from ml_playground.run.directory import RunDirectory
from ml_playground.run.sinks.console import Console
from ml_playground.run.sinks.jsonl import append_jsonl, keep_rows
from ml_playground.utils.files import storage_errors, sync


class Telemetry:
    """Console, `metrics.jsonl` and TensorBoard of a run."""

    def __init__(
        self,
        run: RunDirectory,
        *,
        resumed_at: int | None,
        evaluated: bool = False,
        max_iters: int,
        val_loss: float = math.inf,
    ) -> None:
        """Open a run's files.

        Args:
            run: the run.
            resumed_at: step that a resumed run goes on from, None for a new run. What a killed process reported of
                later steps is removed, for it will be reported again.
            evaluated: whether that step's evaluation is done; if not, what was reported of it will be reported again.
            max_iters: steps in all.
            val_loss: last validation loss of a resumed run.
        """
        if resumed_at is None:
            run.set_aside_metrics()
        else:
            keep_rows(
                run.metrics,
                lambda row: row["step"] < resumed_at + (evaluated or "val/loss" not in row),
            )
        self._run = run
        self._max_iters = max_iters
        with storage_errors(run.tensorboard):
            self._tensorboard = SummaryWriter(run.tensorboard, purge_step=0 if resumed_at is None else resumed_at + 1)
        self._console = Console(step=resumed_at or 0, max_iters=max_iters, val_loss=val_loss)

    def __enter__(self) -> "Telemetry":
        self._thread_hook, threading.excepthook = threading.excepthook, self._thread_failed
        return self

    def __exit__(self, *_: object) -> None:
        self._console.close()
        try:
            with self._files():
                self._tensorboard.close()
        finally:
            threading.excepthook = self._thread_hook

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """TensorBoard writes in a thread. What the system refuses there is raised here by the next scalar."""
        if not isinstance(failure.exc_value, OSError):
            self._thread_hook(failure)

    @contextmanager
    def _files(self) -> Generator[None]:
        """Within it the run's files are written. Raises RunDirectoryError if the run directory is not there."""
        self._run.require()
        try:
            with storage_errors(self._run.path):
                yield
        except FileNotFoundError as error:
            self._run.require()
            raise RunDirectoryError(f"{error.filename} was deleted by somebody else while training.") from error

    def sync(self) -> None:
        """Have the metrics on the disk: no checkpoint may outlive the rows of its steps."""
        with self._files():
            if self._run.metrics.exists():
                sync(self._run.metrics)
                sync(self._run.path)

    def advance(self) -> None:
        """One more step is done."""
        self._console.advance()

    def train(self, step: int, *, loss: float, learning_rate: float, tokens_per_sec: float, step_time: float) -> None:
        """Record a training loss, in nats per token, after `step` steps; `step_time` is in seconds."""
        scalars = {
            "train/loss": loss,
            "train/lr": learning_rate,
            "train/tokens_per_sec": tokens_per_sec,
            "train/step_time_ms": step_time * 1000,
        }
        self._record(step, scalars)
        self._console.train(step, loss, learning_rate, tokens_per_sec, (self._max_iters - step) * step_time)

    def validation(self, step: int, *, loss: float, bits_per_byte: float, improved: bool) -> None:
        """Record an evaluation after `step` steps."""
        self._record(step, {"val/loss": loss}, {"val/bits_per_byte": bits_per_byte})
        self._console.validation(step, loss, bits_per_byte, improved=improved)

    def _record(self, step: int, scalars: dict[str, float], beside: dict[str, float] | None = None) -> None:
        with self._files():
            append_jsonl(self._run.metrics, {"step": step, **scalars, **(beside or {})})
            for tag, value in scalars.items():
                self._tensorboard.add_scalar(tag, value, step)  # pyright: ignore[reportUnknownMemberType] -- not typed
