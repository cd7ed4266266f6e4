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
from ml_playground.run.surroundings import CODE
from ml_playground.runtime import Runtime
from ml_playground.utils.tables import Change, Table, changes


@dataclass(frozen=True)
class Reconciled:
    """A run to resume.

    Attributes:
        spec: its model, which is the checkpoint's.
        origin: its provenance from now on.
        step: optimiser steps done.
        kept: model options of the checkpoint that the configuration has changed.
        changed: settings that change from now on.
        torch: the version that it was trained with before, None if unchanged or unknown.
        code: of which parts that are not built in it has changed.
    """

    spec: ModelSpec
    origin: Provenance
    step: int
    kept: list[Change]
    changed: list[Change]
    torch: str | None
    code: list[str]

    def kept_lines(self) -> Iterator[str]:
        """Messages about configured values that are not used."""
        for key, saved, stated in self.kept:
            yield f"keeping {key} = {_toml(saved)} from ckpt_last.pt (the configuration says {_toml(stated)})"
        if self.kept:
            yield "To use the new values, delete ckpt_last.pt, or put them in another TOML file, for a separate run."

    def changed_lines(self) -> Iterator[str]:
        """Messages about settings that change from this step on."""
        for key, before, now in self.changed:
            yield f"{key} = {_toml(now)} from step {self.step} on, {_toml(before)} before"
        for name in self.code:
            yield f"the {name} has changed since ckpt_last.pt; the new code is used from step {self.step} on"
        if self.torch is not None:
            yield rounding_warning("torch", self.torch, self.origin.versions["torch"])


def reconcile(checkpoint: Checkpoint, spec: ModelSpec, origin: Provenance) -> Reconciled:
    """The run that resumes from `checkpoint`: the model is the checkpoint's, the rest is as configured now.

    Raises:
        CheckpointError: the checkpoint was trained on different data, or its context is shorter than the batches.
    """
    saved = checkpoint.origin
    if saved.data != origin.data:
        raise CheckpointError(
            "ckpt_last.pt was trained on different data than is prepared now. Prepare the old data again, "
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
        code=[
            name
            for name, version in origin.versions.items()
            if name.startswith(CODE) and saved.versions.get(name, version) != version
        ],
    )


def _of_use(train: Table, spec: ModelSpec) -> Table:
    return {name: section for name, section in train.items() if name not in spec.idle_sections}


def rounding_warning(what: str, before: object, now: object) -> str:
    """A warning that results may be rounded differently because of a change."""
    return f"{what}: {now} now, {before} before: the weights can differ by rounding from an uninterrupted run's"


def stored_best_loss(
    run: RunDirectory, spec: ModelSpec, origin: Provenance, evaluator: Evaluator, runtime: Runtime, report: Report
) -> float:
    """The validation loss of `ckpt_best.pt` in nats per token, infinity if there is none.

    It is re-evaluated, and `report` is called with the result, if its validation settings are not those of `origin`.

    Raises:
        CheckpointError: it was trained on different data.
    """
    best = load_best(run, origin.data, report)
    if best is None:
        return math.inf
    if comparable(best.origin, origin):
        return float(best.progress.val_loss)
    model = spec.of_checkpoint(best.origin.model_args).restore(best.averaged_weights)
    evaluation = evaluator(model.to(runtime.device), runtime)
    assert evaluation is not None  # no `stop` was given
    report(f"ckpt_best.pt re-evaluated under the current settings: {evaluation}")
    return evaluation.loss


def comparable(one: Provenance, other: Provenance) -> bool:
    """Whether the validation losses of two runs can be compared.

    They can if measured on the same tokens in the same windows, in the same number format, and both or neither with
    averaged weights.
    """
    return _measure(one) == _measure(other)


def _measure(origin: Provenance) -> tuple[object, ...]:
    data, runtime = origin.config["train"]["data"], origin.config["train"]["runtime"]
    return data["block_size"], runtime["eval_iters"], runtime["dtype"], bool(runtime["ema_decay"])


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
