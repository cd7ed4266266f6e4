"""What two runs do differently, as far as it matters for what they learn."""

from ml_playground.config.fields import is_derived
from ml_playground.config.sections import ModelConfig
from ml_playground.utils.tables import Change, Table, changes, is_table, table_at

# Options that say where and when something is written.
_WHERE_AND_WHEN = {
    "prepare": {"dataset_dir"},
    "train.data": {"dataset_dir"},
    "train.runtime": {
        "out_dir",
        "eval_interval",
        "log_interval",
        "sinks",
        "always_save_checkpoint",
        "keep_last_n",
        "save_merged_on_best",
        "ckpt_time_interval_minutes",
    },
}
# Options that say on what and how fast something is computed, and from which random numbers.
_HOW = {"train.runtime": {"seed", "device", "threads", "compile", "deterministic"}}
# Options whose default is another's value: where both are changed alike, only the other one says something.
_FOLLOWS = {
    "[train.model] block_size": "[train.data] block_size",
    "[train.optim] embedding_learning_rate": "[train.optim] learning_rate",
    "[train.schedule] lr_decay_iters": "[train.runtime] max_iters",
    "[train.hf_model] block_size": "[train.data] block_size",
    "[train.hf_model] dtype": "[train.runtime] dtype",
}


def differences(before: Table, now: Table) -> list[Change]:
    """The options of two resolved configurations that differ, such as `[train.optim] learning_rate`.

    Only what a training depends on counts: `[prepare]`, `[train]` and `plugins`, without the seed, and without options
    that say where and when something is written. One that follows another is left out, such as `lr_decay_iters` where
    `max_iters` is changed or a width that is computed from others, and so are the options that only the earlier kind
    of a part has.

    Args:
        before: a configuration, as `RunRecord.config` has it.
        now: another.

    Returns:
        The changes in the order of the sections, with None for an option that one of the two lacks.
    """
    old, new = _trained_on(before), _trained_on(now)
    found = [
        Change(each.key.replace("[.", "[").removeprefix("[] "), each.before, each.now) for each in changes(old, new, "")
    ]
    values = {each.key: (each.before, each.now) for each in found}
    computed = _computed(old) & _computed(new)
    kinds = {each.key.rpartition(" ")[0] for each in found if each.key.endswith("] kind")}
    return [
        each
        for each in found
        if each.key not in computed
        and values.get(_FOLLOWS.get(each.key, "")) != (each.before, each.now)
        and not (each.now is None and each.key.rpartition(" ")[0] in kinds)
    ]


def _computed(config: Table) -> set[str]:
    """The options of the model that are as they follow from others."""
    stated = table_at(config, ("train", "model")) or {}
    names = [name for name, field in ModelConfig.model_fields.items() if is_derived(field)]
    filled = ModelConfig.completed({key: value for key, value in stated.items() if key not in names})
    return {f"[train.model] {name}" for name in names if filled.get(name) == stated.get(name)}


def learned_from(train: Table) -> Table:
    """The `[train]` tables without options that do not change what is learned, apart from chance."""
    learned: Table = _without(_without({"train": train}, _WHERE_AND_WHEN), _HOW)["train"]
    return learned


def _trained_on(config: Table) -> Table:
    kept: Table = {name: config[name] for name in ("plugins", "prepare", "train") if name in config}
    return _without(_without(kept, _WHERE_AND_WHEN), {"train.runtime": {"seed"}})


def _without(tables: Table, left_out: dict[str, set[str]], at: str = "") -> Table:
    names = left_out.get(at, set())
    return {
        key: _without(value, left_out, f"{at}.{key}".removeprefix(".")) if is_table(value) else value
        for key, value in tables.items()
        if key not in names
    }
