"""What the configurations of two runs are found to do differently."""

from ml_playground.analysis.configs import differences
from ml_playground.config.experiment import all_option_fields, default_sources
from ml_playground.utils.tables import Change, Table, merge

CONFIG: Table = {
    "plugins": [],
    "prepare": {"dataset": "tiny", "dataset_dir": "tiny/datasets", "tokenizer": {"kind": "char"}},
    "train": {
        "model": {"kind": "gpt2", "n_layer": 2, "block_size": 8},
        "data": {"dataset_dir": "tiny/datasets", "block_size": 8},
        "optim": {"kind": "adamw", "learning_rate": 1e-3, "embedding_learning_rate": 1e-3, "beta2": 0.99},
        "schedule": {"kind": "cosine", "lr_decay_iters": 6},
        "runtime": {"out_dir": "tiny/out/tiny", "max_iters": 6, "seed": 1, "log_interval": 1, "compile": False},
    },
    "sample": {"sample": {"start": "a"}},
}


def found(**train: Table) -> list[Change]:
    return differences(CONFIG, merge(CONFIG, {"train": train}))


def test_what_says_only_where_and_when_is_no_difference() -> None:
    now = merge(CONFIG, {"sample": {"sample": {"start": "b"}}, "prepare": {"dataset_dir": "elsewhere"}})
    assert differences(CONFIG, now) == []
    assert found(runtime={"out_dir": "x", "seed": 2, "log_interval": 9}, data={"dataset_dir": "y"}) == []


def test_differences_are_named_as_in_a_toml_file() -> None:
    assert found(model={"n_layer": 3}, runtime={"compile": True}) == [
        Change("[train.model] n_layer", 2, 3),
        Change("[train.runtime] compile", False, True),
    ]
    now = merge(CONFIG, {"plugins": ["a.py"], "prepare": {"tokenizer": {"kind": "byte"}}})
    assert differences(CONFIG, now) == [
        Change("plugins", [], ["a.py"]),
        Change("[prepare.tokenizer] kind", "char", "byte"),
    ]


def test_an_option_that_follows_another_is_not_named_beside_it() -> None:
    longer = [Change("[train.runtime] max_iters", 6, 8)]
    assert found(runtime={"max_iters": 8}, schedule={"lr_decay_iters": 8}) == longer
    assert found(runtime={"max_iters": 8}, schedule={"lr_decay_iters": 7}) == [
        Change("[train.schedule] lr_decay_iters", 6, 7),
        *longer,
    ]


def test_widths_that_are_computed_from_others_are_not_named() -> None:
    sizes = {"n_head": 2, "n_kv_head": 2, "head_dim": 8, "n_embd": 16, "n_inner": 64}
    before = merge(CONFIG, {"train": {"model": sizes}})
    wide = {"n_embd": 32, "head_dim": 16, "n_inner": 128}
    assert differences(before, merge(before, {"train": {"model": wide}})) == [Change("[train.model] n_embd", 16, 32)]
    assert differences(before, merge(before, {"train": {"model": {"n_inner": 32}}})) == [
        Change("[train.model] n_inner", 64, 32)
    ]


def test_every_option_of_a_training_that_follows_another_is_known() -> None:
    for key, _, field in all_option_fields():
        for source in default_sources(field):
            if key[:1] == source[:1] == ("train",):
                changed = merge(CONFIG, {})
                for path in (key, source):
                    table = changed
                    for name in path[:-1]:
                        table = table.setdefault(name, {})
                    table[path[-1]] = "new"
                before = merge(CONFIG, {})
                for path in (key, source):
                    table = before
                    for name in path[:-1]:
                        table = table.setdefault(name, {})
                    table[path[-1]] = "old"
                assert [each.key for each in differences(before, changed)] == [
                    f"[{'.'.join(source[:-1])}] {source[-1]}"
                ], key


def test_of_another_kind_what_the_earlier_one_had_is_not_named() -> None:
    now = merge(CONFIG, {"train": {"optim": {"kind": "sgd", "momentum": 0.9}}})
    del now["train"]["optim"]["beta2"]
    assert differences(CONFIG, now) == [
        Change("[train.optim] kind", "adamw", "sgd"),
        Change("[train.optim] momentum", None, 0.9),
    ]
