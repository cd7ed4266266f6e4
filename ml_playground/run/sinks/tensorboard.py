"""TensorBoard, whose files are in `logs/tb`."""

import threading
from collections.abc import Mapping

from ml_playground.config.sections import SinkConfig
from ml_playground.run.sinks.base import POSITION, Sink, SinkStart
from ml_playground.utils.files import storage_errors


class TensorBoardOptions(SinkConfig):
    """Draws curves: `tensorboard --logdir` with the run's `logs/tb`."""

    def build(self, start: SinkStart) -> Sink:
        """See `SinkConfig`."""
        return TensorBoard(start)


class TensorBoard(Sink):
    """A scalar per measurement, under the same name. Later steps that a killed process reported are hidden."""

    def __init__(self, start: SinkStart) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # which takes half a second to import

        self._run = start.run
        self._hook, others = threading.excepthook, threading.enumerate()
        with storage_errors(self._run.tensorboard):
            self._writer = SummaryWriter(
                self._run.tensorboard, purge_step=start.progress.step + 1 if start.resumed else 0
            )
        self._threads = [thread for thread in threading.enumerate() if thread not in others]
        threading.excepthook = self._thread_failed

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        with self._run.writing():
            for name, value in values.items():
                if name not in POSITION:
                    self._writer.add_scalar(name, value, step)  # pyright: ignore[reportUnknownMemberType] -- not typed

    def close(self) -> None:
        """See `Sink`."""
        try:
            with self._run.writing():
                self._writer.close()
        finally:
            for thread in self._threads:  # a failed one may not have called its hook yet
                thread.join(timeout=1)
            threading.excepthook = self._hook

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """TensorBoard writes in a thread. An OSError there is raised again by the next scalar."""
        if not isinstance(failure.exc_value, OSError):
            self._hook(failure)
