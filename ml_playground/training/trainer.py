"""The training loop, for any model.

A step is a pure function of the weights, the optimiser's state and the step's number: batches and the dropout seed are
computed from `(seed, step)`. So a run that was killed and resumed ends with the same bits as an uninterrupted one.
"""

import math
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from ml_playground.config.sections import TrainRuntimeConfig
from ml_playground.errors import CheckpointError, DivergedError
from ml_playground.evaluation import Evaluation, Evaluator
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import load_weights
from ml_playground.run.checkpoint import Checkpoint, Provenance
from ml_playground.run.progress import Progress
from ml_playground.run.sinks import POSITION, Telemetry
from ml_playground.run.store import CheckpointStore
from ml_playground.runtime import Runtime, seed_everything
from ml_playground.training.curriculum import Curriculum
from ml_playground.training.ema import EMA
from ml_playground.training.gradients import forward_backward
from ml_playground.training.optim import load_optimizer_state
from ml_playground.training.prefetch import Prefetcher
from ml_playground.training.resume import comparable
from ml_playground.training.signals import StopSignals


class Trainer:
    """Trains one model to its last step, evaluating, saving and reporting on the way."""

    def __init__(
        self,
        *,
        model: LanguageModel,
        optimizer: torch.optim.Optimizer,
        curriculum: Curriculum,
        evaluator: Evaluator,
        store: CheckpointStore,
        runtime: Runtime,
        origin: Provenance,
        settings: TrainRuntimeConfig,
        grad_clip: float,
        flops_per_token: int,
        stored_best_loss: float = math.inf,
    ) -> None:
        """Assemble a trainer.

        `flops_per_token` covers forward and backward pass; `stored_best_loss` is that of an existing `ckpt_best.pt`.
        """
        self.progress = Progress()
        self.model = model
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = optimizer
        self._curriculum = curriculum
        self._prefetcher = Prefetcher(
            lambda step: curriculum.at(step).batches(step), runtime.device, ahead=runtime.device.type == "cuda"
        )
        self._evaluator = evaluator
        self._store = store
        self._runtime = runtime
        self.origin = origin
        self._settings = settings
        self._grad_clip = grad_clip or math.inf
        self._flops_per_token = flops_per_token
        self._stored_best_loss = stored_best_loss
        self._scaler = torch.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        self._average = EMA(model, settings.ema_decay) if settings.ema_decay else None
        self._saved_at = time.monotonic()
        self._saved_step = -1  # of ckpt_last.pt
        self._began_at = 0  # steps done when this process started
        self._reported = Progress()  # progress at the last report
        self._pending: list[tuple[int, Tensor, Tensor, bool]] = []  # step, loss, gradient norm, whether it may overflow
        self._clock = time.perf_counter()  # start of the training time that is not in progress.seconds yet

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from `checkpoint`. Raises CheckpointError if its parts do not fit each other."""
        load_weights(self.model, checkpoint.model)
        try:
            if self._average is not None:
                self._average.load_state_dict(checkpoint.ema or checkpoint.model)
            if checkpoint.origin.config["train"]["optim"]["kind"] == self.origin.config["train"]["optim"]["kind"]:
                load_optimizer_state(self.optimizer, checkpoint.optimizer)  # another optimiser starts with fresh state
            if checkpoint.scaler:  # empty unless the run was in float16 before
                self._scaler.load_state_dict(checkpoint.scaler)
        except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"the optimiser's state in ckpt_last.pt does not fit its weights ({error})"
            ) from error
        self.progress = replace(checkpoint.progress)
        if not comparable(checkpoint.origin, self.origin):
            self.progress.best_val_loss, self.progress.evals_since_best = self._stored_best_loss, 0
        self._saved_step = self._began_at = self.progress.step
        self._reported = replace(self.progress)

    def fit(self, telemetry: Telemetry) -> signal.Signals | None:
        """Train to the end, or until early stopping or a signal ends it; the signal is returned.

        Raises:
            DivergedError: the loss or a gradient is not finite.
            StorageError: a checkpoint could not be written.
        """
        self._clock = time.perf_counter()
        with StopSignals() as signals:
            while True:
                if self._evaluation_due():
                    self._evaluate_and_save(telemetry, stop=lambda: signals.received is not None)
                elif self._save_due():
                    self._save(telemetry)
                if self._runtime.any(signals.received is not None):
                    if self._saved_step != self.progress.step:
                        self._save(telemetry)
                    return signals.received
                if self.finished:
                    self._store.finish()
                    return None
                self.step(telemetry)

    @property
    def finished(self) -> bool:
        """Whether the last step is done, or training stopped early."""
        return self.progress.step >= self._curriculum.end or self.stopped_early

    @property
    def best_is_of_an_earlier_run(self) -> bool:
        """Whether `ckpt_best.pt` is from an earlier run and better than anything in this one."""
        return self._stored_best_loss < self.progress.best_val_loss

    @property
    def stopped_early(self) -> bool:
        """Whether validation has not improved for `early_stop_patience` evaluations."""
        return 0 < self._settings.early_stop_patience <= self.progress.evals_since_best

    def evaluate(self, *, stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """Evaluate the weights that would be sampled from; None if `stop()` became true in between."""
        with nullcontext() if self._average is None else self._average.swapped_in():
            return self._evaluator(self.model, self._runtime, stop=stop)

    def _evaluation_due(self) -> bool:
        step = self.progress.step
        at_interval = step % self._settings.eval_interval == 0 or step >= self._curriculum.end
        return at_interval and self.progress.evaluated_at != step

    def _save_due(self) -> bool:
        minutes = self._settings.ckpt_time_interval_minutes
        return self._runtime.any(minutes > 0 and time.monotonic() - self._saved_at >= 60 * minutes)

    def _evaluate_and_save(self, telemetry: Telemetry, *, stop: Callable[[], bool]) -> None:
        self.synchronize()
        evaluation = self.evaluate(stop=stop)
        self._clock = time.perf_counter()
        if evaluation is None:
            return
        progress = self.progress
        if not math.isfinite(evaluation.loss):
            raise self._diverged(f"step {progress.step}: the validation loss is {evaluation.loss}", progress.step)
        progress.record_evaluation(evaluation.loss, evaluation.bits_per_byte)
        # Logged before it is saved: on resume a row without its checkpoint is dropped, but a missing row is lost.
        self._log(
            telemetry,
            {
                "val/loss": evaluation.loss,
                "val/bits_per_byte": evaluation.bits_per_byte,
                "val/accuracy": evaluation.accuracy,
            },
        )
        if self.finished:
            self._store.keep_windows(evaluation.windows)
        is_best = evaluation.loss < self._stored_best_loss
        self._save(telemetry, is_best=is_best, numbered=self._settings.always_save_checkpoint)
        self._stored_best_loss = min(self._stored_best_loss, evaluation.loss)

    def step(self, telemetry: Telemetry) -> None:
        """One optimiser step, logged if due."""
        learning_rate = self.update()
        telemetry.advance()
        if self.progress.step % self._settings.log_interval == 0 or self.progress.step == self._curriculum.end:
            self._report(telemetry, learning_rate)

    def update(self) -> float:
        """One optimiser step, a pure function of the state and the step's number; returns its learning rate.

        On a GPU the work is queued and not waited for: see `synchronize`.
        """
        step = self.progress.step
        stage = self._curriculum.at(step)
        learning_rate = stage.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["lr_scale"]
        seed_everything(self._settings.seed, 1 + step)  # for dropout; the initial weights use the seed alone
        loss = forward_backward(self.model, *self._prefetcher.take(step), runtime=self._runtime, scaler=self._scaler)
        self._scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._grad_clip)
        # A loss scale that is too high makes infinite gradients; the scaler skips such a step and halves the scale.
        scaled_too_high = self._scaler.get_scale() > 1
        self._pending.append((step, loss, norm, scaled_too_high))
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update(step)
        self.progress.step += 1
        self.progress.tokens += stage.batches.tokens_per_step
        self.progress.flops += stage.batches.tokens_per_step * self._flops_per_token
        return learning_rate

    def synchronize(self) -> tuple[float, float]:
        """Wait for the device to finish the steps that were taken; returns the last one's loss and gradient norm.

        The loss is in nats per token, the norm is before clipping.

        Raises:
            DivergedError: the loss or a gradient of a step since the last call is not finite.
        """
        last_loss = last_norm = math.nan
        for step, loss, norm, may_overflow in self._pending:
            last_loss, last_norm = loss.item(), norm.item()
            if not math.isfinite(last_loss) or not (may_overflow or math.isfinite(last_norm)):
                what = "a gradient is not finite" if math.isfinite(last_loss) else f"the loss is {last_loss}"
                raise self._diverged(
                    f"step {step + 1}: {what} ({self._curriculum.at(step).batches.describe(step)})", step
                )
        self._pending.clear()
        now = time.perf_counter()
        self.progress.seconds += now - self._clock
        self._clock = now
        return last_loss, last_norm

    def _report(self, telemetry: Telemetry, learning_rate: float) -> None:
        (loss, norm), progress = self.synchronize(), self.progress
        before, self._reported = self._reported, replace(progress)
        steps, seconds = progress.step - before.step, progress.seconds - before.seconds
        self._log(
            telemetry,
            {
                "train/loss": loss,
                "train/lr": learning_rate,
                "train/tokens_per_sec": (progress.tokens - before.tokens) / seconds,
                "train/step_time_ms": 1000 * seconds / steps,
                "train/grad_norm": norm,
            },
        )

    def _log(self, telemetry: Telemetry, measured: dict[str, float]) -> None:
        progress = self.progress
        telemetry.log(progress.step, {**{name: getattr(progress, name) for name in POSITION}, **measured})

    def _diverged(self, what: str, step: int) -> DivergedError:
        """Build the error for the weights after `step` steps.

        If this process computed and saved them, roll back to the previous checkpoint. Weights that it resumed from
        are kept: the cause may be changed settings, another device, or a changed model file.
        """
        if self._saved_step == step > self._began_at:
            aside = self._store.discard_last()
            return DivergedError(f"{what}. ckpt_last.pt had these weights already and is now {aside.name}")
        if self._saved_step == step and step:
            return DivergedError(f"{what}, right after resuming from ckpt_last.pt, which is kept")
        return DivergedError(what)

    def _checkpoint(self) -> Checkpoint:
        self.synchronize()  # raises if training has diverged, before anything is saved
        return Checkpoint(
            model=self.model.trainable_state_dict(),
            ema=None if self._average is None else self._average.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self._scaler.state_dict(),
            progress=replace(self.progress),
            origin=self.origin,
        )

    def _save(self, telemetry: Telemetry, *, is_best: bool = False, numbered: bool = False) -> None:
        checkpoint = self._checkpoint()
        telemetry.sync()
        self._store.save(checkpoint, is_best=is_best, step=self.progress.step if numbered else None)
        self._saved_at, self._saved_step = time.monotonic(), self.progress.step
        self._clock = time.perf_counter()
