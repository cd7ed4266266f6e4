from functools import partial

import numpy as np

from ml_playground.data.batches import Batches
from ml_playground.training.curriculum import Curriculum, Stage


def batches(seed: int) -> Batches:
    text = np.arange(100, dtype=np.uint16)
    return Batches(text, block_size=4, batch_size=2, grad_accum_steps=1, sampler="random", seed=seed)


def test_a_step_belongs_to_the_first_stage_that_is_not_over() -> None:
    stages = [Stage(batches(end), partial(max, 1.0), end) for end in (3, 5, 9)]
    curriculum = Curriculum(stages)
    assert [stages.index(curriculum.at(step)) for step in range(11)] == [0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2]
    assert curriculum.end == 9


def test_a_run_without_steps_has_a_stage_all_the_same() -> None:
    only = Stage(batches(1), partial(max, 1.0), 0)
    assert Curriculum([only]).at(0) is only
