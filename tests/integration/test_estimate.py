"""`estimate` through the command line's own entry."""

import re

import pytest
import torch

from tests.project import Project

pytestmark = pytest.mark.usefixtures("prepared")


def test_it_tells_what_training_would_take_and_leaves_nothing(project: Project) -> None:
    before = sorted(project.root.rglob("*"))
    said = project.ok("estimate").out
    assert sorted(project.root.rglob("*")) == before
    parameters = 22 * 16 + 8 * 16 + 12 * 16**2 + 3 * 16  # embeddings, positions, one block, norms
    assert f"parameters  {parameters:,}\n" in said
    assert re.search(
        r"memory      0 MiB for weights, gradients and optimiser; [\d,]{3,} MiB in all in the timed steps\n", said
    )
    assert "tokens      32 per step, 192 in all: 0.18 epochs of 1,094\n" in said
    per_token = 6 * (parameters - 8 * 16) + 12 * 16 * 8  # the embeddings are the head's matrix too; positions are added
    assert f"{per_token * 192:.2e} FLOPs, {per_token:,} per token\n" in said
    assert re.search(r"speed       [\d.]+ ms per step, [\d,]+ tokens/s, \d+ GFLOP/s\n", said)
    assert re.search(r"time        \d s, of which \d+% for 4 evaluations of [\d.]+ s\n", said)


def test_a_schedule_that_does_not_fit_is_warned_of(project: Project) -> None:
    project.configure({"train.schedule.lr_decay_iters": "3"})
    for verb in ("estimate", "train"):
        assert "! [train.schedule] lr_decay_iters = 3: the last 3 steps run at min_lr = 0.\n" in project.ok(verb).out


def test_data_must_be_prepared(project: Project) -> None:
    (project.datasets / "meta.json").unlink()
    assert "Run 'prepare' first" in project.run("estimate").err


def test_one_thread_is_timed_beside_several(project: Project) -> None:
    assert "threads" not in project.ok("estimate").out  # the tests have one
    project.configure({"train.runtime.threads": "2"})
    assert re.search(r"threads     2 take [\d.]+ ms per step, 1 takes [\d.]+ ms\n", project.ok("estimate").out)
    assert torch.get_num_threads() == 2
