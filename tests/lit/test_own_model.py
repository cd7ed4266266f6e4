"""A user's own model, which shows less of itself than the built-in ones."""

import pytest

from tests.lit.conftest import trained
from tests.lit.shown import Shown, changed
from tests.project import Project

MODEL = '''
"""Predicts the next token from the last one alone."""

import torch
from torch import Tensor, nn

from ml_playground.config.sections import ModelConfig
from ml_playground.models.base import LanguageModel


class Bigram(LanguageModel):
    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.block_size = config.block_size
        self.vocab_size = vocab_size
        self.table = {table}

    def forward(self, ids: Tensor) -> Tensor:
        return self.table{ids}


build = Bigram
'''
TABLES = {
    "an embedding": {"table": "nn.Embedding(vocab_size, vocab_size)", "ids": "(ids)"},
    "a parameter": {"table": "nn.Parameter(torch.randn(vocab_size, vocab_size))", "ids": "[ids]"},
}


@pytest.mark.parametrize("table", TABLES)
def test_what_the_model_does_not_show_is_left_out(project: Project, table: str) -> None:
    (project.folder / "model.py").write_text(MODEL.format(**TABLES[table]))
    project.configure({"train.model.file": '"tiny/model.py"', "train.optim.learning_rate": "0.1"})
    shown = Shown(trained(project))
    has_embedding = table == "an embedding"
    models, datasets = shown.info["models"], shown.info["datasets"]
    methods = {"bits", "erasure"} | ({"grad_l2", "grad_dot_input"} if has_embedding else set())
    assert set(models["_tiny_salience"]["spec"]["output"]) == {"tokens"} | methods
    assert "state" not in models["tiny"]["spec"]["output"]
    assert "sequence_salience" not in models["tiny"]["interpreters"]
    assert ("vocabulary of tiny" in datasets) is has_embedding
    (row, *_) = shown.rows()
    (said,) = shown.predictions("tiny", [row["id"]], "Scalar,GeneratedText")
    assert said["bits_per_byte"] > 0
    assert said["response"]
    (salience,) = shown.predictions("_tiny_salience", [changed(row, target_mask=[0.0] * 4 + [1.0])], "TokenScores")
    assert set(salience) == methods
    assert salience["erasure"][3] != 0  # the token before is all that the model looks at
    assert salience["erasure"][:2] == [0.0, 0.0]
