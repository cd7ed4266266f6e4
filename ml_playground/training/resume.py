"""What a checkpoint and a configuration that has changed since then make of each other."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_playground.config.fields import ConfigFile, ModelSource
from ml_playground.config.files import project_root
from ml_playground.errors import CheckpointError, RunDirectoryError
from ml_playground.evaluation import Evaluator
from ml_playground.run.checkpoint import Checkpoint, CheckpointStore, Origin
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import Runtime
from ml_playground.utils.paths import real_path, shown
from ml_playground.utils.tables import Table, is_table

_FREE = ("model_name", "revision", "block_size", "gradient_checkpointing")  # none of which changes a weight
_OF_THE_MODEL = ("[train.model]", "[train.hf_model]", "[train.peft]")
_ASKED_OF_OTHERS = ("init_from", "block_size", "dropout")  # what `[train.model]` decides of a model from elsewhere


def require_same_file(run: RunDirectory, file: ConfigFile | None) -> None:
    """Refuse to train in the run of another TOML file, such as a preset of the same name in another folder.

    A file that names the run directory itself may use that of another, and one that is gone was moved or renamed.

    Raises:
        RunDirectoryError: another file's run is there.
    """
    other = other_file(run, file)
    if file is not None and other is not None:
        raise RunDirectoryError(
            f"{run.path}: this run was trained with {shown(other)}, and this command names {shown(file.path)}. Rename "
            "one of the two, or state [train.runtime] out_dir in the latter: another folder for a run of its own, or "
            "this one to resume this run with it."
        )


def report_other_file(run: RunDirectory, out_dir: Path, file: ConfigFile | None) -> None:
    """Warn that a run is that of another TOML file, unless it is not the one of `out_dir`, which `file` would train."""
    if run.path == out_dir and (other := other_file(run, file)) is not None:
        print(f"! {shown(run.path)} was trained with {shown(other)}, another TOML file", file=sys.stderr)


def other_file(run: RunDirectory, file: ConfigFile | None) -> Path | None:
    """The TOML file that a run was trained with, where that is there and another than `file`, which did not name it."""
    if file is None or file.names_run:
        return None
    toml = (run.read_info() or {}).get("toml")
    if not isinstance(toml, str) or "\0" in toml:
        return None  # nothing is known of it
    trained_with = real_path(_project(run) / toml)
    return trained_with if trained_with != file.path and trained_with.is_file() else None


def file_name(run: RunDirectory, file: ConfigFile | None) -> str | None:
    """How `run.json` names the TOML file: relative to the run's project, so that the two can be moved together."""
    root = _project(run)
    if file is None:
        return None
    return file.path.relative_to(root).as_posix() if file.path.is_relative_to(root) else str(file.path)


def _project(run: RunDirectory) -> Path:
    return project_root(run.info)


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
    report_rounding("torch", checkpoint.origin.versions.get("torch"), origin.versions["torch"])
    return origin.with_model(model_args)


def report_rounding(what: str, before: object, now: object) -> None:
    """Print that sums are rounded otherwise than before, if what that depends on is known to have changed."""
    if before not in (None, now):
        print(f"{what}: {now} now, {before} before: the weights can differ by rounding from an uninterrupted run's")


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
    """The validation loss of `ckpt_best.pt`, measured again if validation has changed; infinite where there is none.

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
