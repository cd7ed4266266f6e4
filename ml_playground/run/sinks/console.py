"""Progress for a person: a live line on a terminal, plain lines anywhere else."""

import math
import sys

from tqdm import tqdm


class Console:
    """Shows the state of a training run."""

    def __init__(self, *, step: int, max_iters: int, val_loss: float = math.inf) -> None:
        self._max_iters = max_iters
        self._val = f" val {val_loss:.4f}" if math.isfinite(val_loss) else ""
        self._numbers = "", ""  # of the last training loss, before and after the validation loss
        live = sys.stderr.isatty()
        self._bar = tqdm(total=max_iters, initial=step, unit="step", dynamic_ncols=True, leave=False) if live else None

    def advance(self) -> None:
        """One more step is done."""
        if self._bar is not None:
            self._bar.update()

    def train(self, step: int, loss: float, learning_rate: float, tokens_per_sec: float, seconds_left: float) -> None:
        """A training loss was measured."""
        self._numbers = f"loss {loss:.4f}", f" lr {learning_rate:.2e} {tokens_per_sec:,.0f} tok/s"
        if self._bar is not None:
            self._show()
        else:
            numbers = self._val.join(self._numbers)
            print(f"step {step}/{self._max_iters} {numbers} {_duration(seconds_left)} left", flush=True)

    def validation(self, step: int, loss: float, bits_per_byte: float, *, improved: bool) -> None:
        """An evaluation is done."""
        self._val = f" val {loss:.4f}"
        self._show()
        best = " (best so far)" if improved else ""
        self._write(
            f"step {step}/{self._max_iters} validation: {loss:.4f} nats/token, {bits_per_byte:.4f} bits/byte{best}"
        )

    def _show(self) -> None:
        """Bring the live line up to date."""
        if self._bar is not None:
            self._bar.set_postfix_str(self._val.join(self._numbers).strip())

    def _write(self, text: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

    def close(self) -> None:
        """Remove the live line."""
        if self._bar is not None:
            self._bar.close()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
