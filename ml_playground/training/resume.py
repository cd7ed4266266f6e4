"""Resume under changed settings: what the checkpoint keeps, and what the configuration may change."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ml_playground.errors import CheckpointError
from ml_playground.evaluation import Evaluator
from ml_playground.models.spec import ModelSpec
from ml_playground.run.checkpoint import Checkpoint, Provenance, Report, load_best
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import Runtime
from ml_playground.utils.tables import Change, Table, changes


@dataclass(frozen=True)
class Reconciled:
    """A run that is resumed.

    Attributes:
        spec: its model, which is the checkpoint's.
        origin: what it is made of from now on.
        step: optimiser steps done.
        kept: what the checkpoint's model is, and is not, but was asked for.
        changed: what differs in the configuration from now on.
        torch: the version that it was trained with before, None if that is today's or not known.
    """

    spec: ModelSpec
    origin: Provenance
    step: int
    kept: list[Change]
    changed: list[Change]
    torch: str | None

    def kept_lines(self) -> Iterator[str]:
        """What was asked for in vain."""
        for key, saved, stated in self.kept:
            yield f"keeping {key} = {_toml(saved)} from ckpt_last.pt (the configuration says {_toml(stated)})"
        if self.kept:
            yield "To use the new values, delete ckpt_last.pt, or give them a TOML file and so a run of its own."

    def changed_lines(self) -> Iterator[str]:
        """What the steps to come are computed with, and those before were not."""
        for key, before, now in self.changed:
            yield f"{key} = {_toml(now)} from step {self.step} on, {_toml(before)} before"
        if self.torch is not None:
            yield rounding_warning("torch", self.torch, self.origin.versions["torch"])


def reconcile(checkpoint: Checkpoint, spec: ModelSpec, origin: Provenance) -> Reconciled:
    """The run that resumes from `checkpoint`: its model wins, the rest is today's, `spec` and `origin`.

    Raises:
        CheckpointError: the checkpoint saw other data, or its context is shorter than today's batches.
    """
    saved = checkpoint.origin
    if saved.data != origin.data:
        raise CheckpointError(
            "ckpt_last.pt was trained on other data than is prepared now. Prepare the old data again, "
            "set another [train.runtime] out_dir, or delete ckpt_last.pt to start afresh."
        )
    resumed, kept = spec.resume(saved.model_args)
    context, block_size = resumed.options["block_size"], origin.config["train"]["data"]["block_size"]
    if block_size > context:
        raise CheckpointError(
            f"[train.data] block_size = {block_size} is beyond the model in ckpt_last.pt, "
            f"whose block_size is {context}. Set it back, or train in another [train.runtime] out_dir."
        )
    origin = origin.with_model(resumed.options, resumed.stated(origin.config["train"]))
    before, now = (_of_use(each.config["train"], resumed) for each in (saved, origin))
    torch = saved.versions.get("torch")
    return Reconciled(
        spec=resumed,
        origin=origin,
        step=checkpoint.progress.step,
        kept=kept,
        changed=list(changes(before, now, "train")),
        torch=None if torch == origin.versions["torch"] else torch,
    )


def _of_use(train: Table, spec: ModelSpec) -> Table:
    return {name: section for name, section in train.items() if name not in spec.idle_sections}


def rounding_warning(what: str, before: object, now: object) -> str:
    """That sums are rounded otherwise than before, by what has changed."""
    return f"{what}: {now} now, {before} before: the weights can differ by rounding from an uninterrupted run's"


def stored_best_loss(
    run: RunDirectory, spec: ModelSpec, origin: Provenance, evaluator: Evaluator, runtime: Runtime, report: Report
) -> float:
    """The validation loss of `ckpt_best.pt` in nats per token, infinity if there is none.

    It is evaluated again if it cannot be compared with what `origin` measures, which `report` is given a line about.

    Raises:
        CheckpointError: it is of other data.
    """
    best = load_best(run, origin.data, report)
    if best is None:
        return math.inf
    if comparable(best.origin, origin):
        return float(best.progress.val_loss)
    model = spec.of_checkpoint(best.origin.model_args).restore(best.averaged_weights)
    evaluation = evaluator(model.to(runtime.device), runtime)
    assert evaluation is not None  # nothing stops it
    report(f"ckpt_best.pt re-evaluated under the current settings: {evaluation}")
    return evaluation.loss


def comparable(one: Provenance, other: Provenance) -> bool:
    """Whether the validation losses of two runs are of one measure.

    That is: of the same tokens in the same windows, in the same number format, of averaged weights or not.
    """
    return _measure(one) == _measure(other)


def _measure(origin: Provenance) -> tuple[object, ...]:
    data, runtime = origin.config["train"]["data"], origin.config["train"]["runtime"]
    return data["block_size"], runtime["eval_iters"], runtime["dtype"], bool(runtime["ema_decay"])


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
