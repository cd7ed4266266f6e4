"""Run directories that no training has made, written through the classes that write real ones."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ml_playground.run.directory import RunDirectory
from ml_playground.run.progress import Progress
from ml_playground.run.records import Machine, MetricRow, RunRecord, Status, Summary, ValidationText
from ml_playground.run.rows import append_jsonl
from ml_playground.run.windows import write_windows
from ml_playground.utils.tables import Table, merge, nested

STEPS = 100
CONFIG: Table = {
    "plugins": [],
    "prepare": {"dataset": "tiny", "tokenizer": {"kind": "char"}},
    "train": {
        "model": {"kind": "gpt2", "n_layer": 2, "mlp": {"kind": "gelu"}},
        "data": {"batch_size": 4, "block_size": 8, "grad_accum_steps": 1, "sampler": "random"},
        "optim": {"kind": "adamw", "learning_rate": 1e-3},
        "runtime": {"out_dir": "out", "max_iters": STEPS, "seed": 1, "eval_iters": 0, "threads": 1},
    },
}
TEXT = ValidationText("text", "ids", 1000)
RECORD = RunRecord(
    None, CONFIG, {}, None, "data", 1000, {"torch": "2.11"}, None, Machine("", 0, "cpu", "Linux"), 1, [], TEXT, 200
)


def write_run(
    folder: Path,
    loss: float,
    *,
    seed: int = 1,
    changes: dict[str, Any] | None = None,
    status: Status = "finished",
    windows: Sequence[float] | None = None,
    bits: float | None = None,
    **record: Any,
) -> RunDirectory:
    """A run whose loss falls from 3 to `loss` in ten evaluations, evenly.

    Args:
        folder: its directory.
        loss: at its end.
        seed: its seed.
        changes: dotted keys of its configuration.
        status: how it ended.
        windows: nats in each window, in place of a file that is not there.
        bits: per byte, at its end.
        record: what else `run.json` says.
    """
    config = deepcopy(CONFIG)
    for key, value in {"train.runtime.seed": seed, **(changes or {})}.items():
        config = merge(config, nested(key.split("."), value))
    run = RunDirectory(folder)
    folder.mkdir(parents=True)
    replace(RECORD, config=config, **record).write(run.info)
    progress = Progress(
        STEPS, STEPS * 32, 50.0, STEPS * 1000, STEPS, float(loss), bits or float(loss), float(loss), STEPS
    )
    for step in range(0, STEPS + 1, 10):
        share = step / STEPS
        now = 3 + (loss - 3) * share
        measured = {"val/loss": now, "val/bits_per_byte": 3 + ((bits or loss) - 3) * share}
        append_jsonl(run.metrics, MetricRow(step, step * 32, step / 2, step * 1000, measured).as_json())
    Summary(status, "2026-01-01T00:00:00+00:00", STEPS, progress).write(run.summary)
    if windows is not None:
        write_windows(run.validation_windows, np.asarray(windows, np.float64))
    return run
