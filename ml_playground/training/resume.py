"""What a checkpoint and a configuration that has changed since then make of each other."""

import json
import math
from collections.abc import Iterator
from typing import Any

from ml_playground.checkpoint import Checkpoint, CheckpointStore, Origin
from ml_playground.config.fields import ModelSource
from ml_playground.config.tables import Table, is_table
from ml_playground.errors import CheckpointError
from ml_playground.evaluation import Evaluator
from ml_playground.runtime import Runtime

_FREE = ("model_name", "revision", "block_size", "gradient_checkpointing")  # none of which changes a weight
_OF_THE_MODEL = ("[train.model]", "[train.hf_model]", "[train.peft]")
_ASKED_OF_OTHERS = ("init_from", "block_size", "dropout")  # what `[train.model]` decides of a model from elsewhere


def agree(checkpoint: Checkpoint, origin: Origin) -> Origin:
    """The origin of the run that goes on from `checkpoint`: its model arguments win, the rest is today's.

    Prints each difference between the checkpoint's configuration and today's.

    Raises:
        CheckpointError: the checkpoint saw other data, or its context is shorter than today's batches.
    """
    if checkpoint.origin.data != origin.data:
        raise CheckpointError(
            "ckpt_last.pt was trained on other data than is prepared now. Prepare the old data again, "
            "set another [train.runtime] out_dir, or delete ckpt_last.pt to start afresh."
        )
    model_args = checkpoint.origin.model_args
    before, now = checkpoint.origin.config["train"], origin.config["train"]
    if ("hf_model" in model_args) != ("hf_model" in origin.model_args):
        raise CheckpointError(
            "ckpt_last.pt is of another kind of model: one of [train.model] and [train.hf_model] was trained, and now "
            "it is the other. Set another [train.runtime] out_dir."
        )
    if "hf_model" in model_args:
        model_args = _fine_tuned_args(model_args, origin)
    elif now["data"]["block_size"] > model_args["block_size"]:
        raise CheckpointError(
            f"[train.data] block_size = {now['data']['block_size']} is beyond the model in ckpt_last.pt, "
            f"whose block_size is {model_args['block_size']}. Set it back, or train in another [train.runtime] out_dir."
        )
    differing = list(_differing(model_args, origin.model_args))
    for key, old, new in differing:
        print(f"{key} = {_toml(old)} as in ckpt_last.pt, not {_toml(new)}")
    if differing:
        print("To train the other model, delete ckpt_last.pt, or give it a TOML file and so a run of its own.")
    for key, old, new in _changes(before, now, "train"):
        if not key.startswith(_OF_THE_MODEL) or key.removeprefix("[train.hf_model] ") in _FREE:
            print(f"{key} = {_toml(new)} from step {checkpoint.progress['step']} on, {_toml(old)} before")
    return origin.with_model(model_args)


def _fine_tuned_args(model_args: Table, origin: Origin) -> Table:
    """Those of the checkpoint, with today's where that changes no weight."""
    today = origin.model_args["hf_model"]
    hf_model = {**model_args["hf_model"], **{key: today[key] for key in _FREE}}
    return {**model_args, "hf_model": hf_model, "block_size": hf_model["block_size"]}


def _differing(model_args: Table, asked_for: Table) -> Iterator[tuple[str, Any, Any]]:
    """What the model in a checkpoint is, and is not, but was asked for."""
    if "hf_model" in model_args:
        for table in ("hf_model", "peft"):
            yield from _changes(model_args[table], asked_for[table], f"train.{table}")
        return
    # A model that came from elsewhere brought its own shape, whatever the rest of the section says.
    keys = _ASKED_OF_OTHERS if model_args.get("init_from") else asked_for.keys()
    wanted = {key: asked_for[key] for key in keys}
    had = {key: model_args[key] for key in wanted if key in model_args}
    yield from _changes(had, wanted, "train.model")


def best_on_disk(
    store: CheckpointStore, origin: Origin, evaluator: Evaluator, runtime: Runtime, source: ModelSource
) -> float:
    """The validation loss of `ckpt_best.pt`, measured anew if validation has changed; infinite where there is none.

    Raises:
        CheckpointError: it is of other data.
    """
    best = store.best(origin.data)
    if best is None:
        return math.inf
    if same_measure(best.origin, origin):
        return float(best.progress["val_loss"])
    evaluation = evaluator(best.trained_model(source).to(runtime.device), runtime)
    assert evaluation is not None
    print(f"ckpt_best.pt under today's validation: {evaluation}")
    return evaluation.loss


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def same_measure(one: Origin, other: Origin) -> bool:
    """Whether validation losses of the two can be compared: the same tokens in the same windows."""
    trains = one.config["train"], other.config["train"]
    ours, theirs = ((train["data"]["block_size"], train["runtime"]["eval_iters"]) for train in trains)
    return ours == theirs


def _changes(before: Table, now: Table, table: str) -> Iterator[tuple[str, Any, Any]]:
    for key in [*now, *(key for key in before if key not in now)]:
        old, new = before.get(key), now.get(key)
        if is_table(new) and (is_table(old) or old is None):
            yield from _changes(old or {}, new, f"{table}.{key}")
        elif old != new:
            yield f"[{table}] {key}", old, new
