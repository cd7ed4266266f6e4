"""What a run changes is said in few words."""

from pathlib import Path

import pytest

from ml_playground.analysis.configs import differences
from ml_playground.config.brief import brief
from ml_playground.config.load import load_config
from ml_playground.utils.tables import Table


def resolved(folder: Path, text: str) -> Table:
    (folder / "config.toml").write_text(text)
    return load_config(folder / "config.toml", name="mine", folder=folder).resolved()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('train.optim = "muon"', {"[train.optim] kind": "muon"}),
        ('train.optim = {kind = "muon", momentum = 0.8}', {"kind": "muon", "momentum": 0.8}),
        ('train.model.position = "rope"', {"[train.model] position": "rope"}),
        ('train.model = "llama"', {"[train.model] kind": "llama"}),
        ('train.model = {kind = "llama", n_inner = 5}', {"kind": "llama", "n_inner": 5}),
        ("train.model.n_embd = 24", {"[train.model] n_embd": 24}),
        ("train.model.n_inner = 5", {"[train.model] n_inner": 5}),
        ("train.runtime.max_iters = 7", {"[train.runtime] max_iters": 7}),
        ("train.optim.learning_rate = 0.5", {"[train.optim] learning_rate": 0.5}),
        ('prepare.tokenizer = "gpt2"', {"[prepare] tokenizer": "gpt2"}),
    ],
)
def test_only_what_one_would_state_is_named(tmp_path: Path, text: str, said: dict[str, object]) -> None:
    now = resolved(tmp_path, text)
    found = {each.key: each.now for each in brief(differences(resolved(tmp_path, ""), now), now)}
    assert {key if key in said else key.rpartition(" ")[2]: value for key, value in found.items()} == said
