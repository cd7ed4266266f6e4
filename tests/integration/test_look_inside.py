"""The analyses of a run that is loaded from its directory, with the tokens of its own validation text."""

import numpy as np
import pytest
import torch

from ml_playground.analysis.attention import attention_weights
from ml_playground.analysis.examples import validation_examples
from ml_playground.analysis.salience import erasure, gradient_salience, has_other_tables
from ml_playground.analysis.scores import score_ids
from ml_playground.analysis.states import layer_readings, pooled_states, token_table
from ml_playground.config.load import load_config
from ml_playground.data.store import open_dataset
from ml_playground.evaluation import Evaluator
from ml_playground.inference.load import load_trained
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import resolve
from tests.project import Project

RUNTIME = resolve("cpu", "float32")


def assert_all_agree(project: Project) -> None:
    """Every analysis of one example, as far as they measure the same."""
    config = load_config(project.config, name="tiny", folder=project.folder)
    dataset = open_dataset(config.prepare.dataset_dir, config.prepare)
    model = load_trained(RunDirectory(project.out), spec_of(config.train, config.file.root)).model
    example = validation_examples(dataset, count=1, context=model.block_size)[0]
    ids, last = example.ids, len(example.ids) - 1

    evaluator = Evaluator(
        np.array(ids, dtype=np.uint32), text_bytes=len(ids), vocab_size=model.vocab_size, context=model.block_size
    )
    measured = evaluator(model, RUNTIME)
    scores, read = score_ids(model, ids, RUNTIME, top=4), layer_readings(model, ids, RUNTIME, top=4)
    assert measured is not None
    assert scores.loss == pytest.approx(measured.loss, rel=1e-6)
    np.testing.assert_allclose(read.nats[-1], scores.nats, rtol=1e-3, atol=1e-4)
    assert len(attention_weights(model, ids, RUNTIME)) == len(read.nats) - 1
    assert token_table(model).shape[0] == model.vocab_size
    assert pooled_states(model, [ids], RUNTIME).shape == (1, token_table(model).shape[1])
    without_first = score_ids(model, ids[1:], RUNTIME)
    rise = erasure(model, ids, [last], RUNTIME)[0]
    assert rise == pytest.approx(float(without_first.nats[-1] - scores.nats[-1]), abs=1e-3)
    assert np.isfinite(gradient_salience(model, ids, [last], RUNTIME).l2[:last]).all()
    assert not has_other_tables(model)
    assert all(torch.isfinite(parameter).all() and parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("adapters", [True, False])
def test_a_fine_tuned_model(qwen: Project, adapters: bool) -> None:
    qwen.configure({"train.runtime.max_iters": "2"} if adapters else {"train.peft.enabled": "false"})
    qwen.ok("prepare")
    qwen.ok("train")
    assert_all_agree(qwen)


def test_a_model_from_scratch(project: Project) -> None:
    project.ok("prepare")
    project.ok("train")
    assert_all_agree(project)
