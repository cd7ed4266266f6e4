"""One object that takes each measurement and sends it everywhere it belongs."""

from torch.utils.tensorboard.writer import SummaryWriter

from ml_playground.run_directory import RunDirectory
from ml_playground.telemetry.console import Console
from ml_playground.telemetry.jsonl import append_jsonl, drop_after


class Telemetry:
    """Console, `metrics.jsonl` and TensorBoard of a run."""

    def __init__(self, run: RunDirectory, *, resumed_at: int | None, max_iters: int) -> None:
        """`resumed_at` is the step that a resumed run goes on from, None for a new run.

        What a killed process reported of later steps is removed, for it will be reported again.
        """
        if resumed_at is None:
            run.set_aside_metrics()
        else:
            drop_after(run.metrics, resumed_at)
        self._metrics = run.metrics
        self._max_iters = max_iters
        self._tensorboard = SummaryWriter(run.tensorboard, purge_step=0 if resumed_at is None else resumed_at + 1)
        self._console = Console(step=resumed_at or 0, max_iters=max_iters)

    def __enter__(self) -> "Telemetry":
        return self

    def __exit__(self, *_: object) -> None:
        self._console.close()
        self._tensorboard.close()

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

    def note(self, text: str) -> None:
        """Tell the user something."""
        self._console.note(text)

    def _record(self, step: int, scalars: dict[str, float], beside: dict[str, float] | None = None) -> None:
        append_jsonl(self._metrics, {"step": step, **scalars, **(beside or {})})
        for tag, value in scalars.items():
            self._tensorboard.add_scalar(tag, value, step)  # pyright: ignore[reportUnknownMemberType] -- not typed
