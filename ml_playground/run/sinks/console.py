"""Progress for a person: a live line on a terminal, plain lines anywhere else."""

import math
import sys
from collections.abc import Mapping

from ml_playground.config.sections import SinkConfig
from ml_playground.run.sinks.base import Sink, SinkStart


class ConsoleOptions(SinkConfig):
    """Prints losses, speed and the time left."""

    def build(self, start: SinkStart) -> Sink:
        """See `SinkConfig`."""
        return Console(start)


class Console(Sink):
    """Shows the state of a training run."""

    def __init__(self, start: SinkStart) -> None:
        from tqdm import tqdm  # not needed to know the options

        progress, self._max_iters = start.progress, start.max_iters
        self._val = f" val {progress.val_loss:.4f}" if math.isfinite(progress.val_loss) else ""
        self._best = progress.best_val_loss
        self._numbers = "", ""  # of the last training loss, before and after the validation loss
        self._bar = None
        if sys.stderr.isatty():
            steps = self._max_iters
            self._bar = tqdm(total=steps, initial=progress.step, unit="step", dynamic_ncols=True, leave=False)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Sink`."""
        if "train/loss" in values:
            self._show_training(step, values)
        if "val/loss" in values:
            self._show_validation(step, values["val/loss"], values["val/bits_per_byte"])

    def advance(self) -> None:
        """See `Sink`."""
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Remove the live line."""
        if self._bar is not None:
            self._bar.close()

    def _show_training(self, step: int, values: Mapping[str, float]) -> None:
        speed = f" lr {values['train/lr']:.2e} {values['train/tokens_per_sec']:,.0f} tok/s"
        self._numbers = f"loss {values['train/loss']:.4f}", speed
        if self._bar is not None:
            self._show()
        else:
            left = (self._max_iters - step) * values["train/step_time_ms"] / 1000
            numbers = self._val.join(self._numbers)
            print(f"step {step}/{self._max_iters} {numbers} {_duration(left)} left", flush=True)

    def _show_validation(self, step: int, loss: float, bits_per_byte: float) -> None:
        best = " (best so far)" if loss < self._best else ""
        self._val, self._best = f" val {loss:.4f}", min(loss, self._best)
        self._show()
        self._write(
            f"step {step}/{self._max_iters} validation: {loss:.4f} nats/token, {bits_per_byte:.4f} bits/byte{best}"
        )

    def _show(self) -> None:
        """Update the live line."""
        if self._bar is not None:
            self._bar.set_postfix_str(self._val.join(self._numbers).strip())

    def _write(self, text: str) -> None:
        """Print a line that stays on the screen."""
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
