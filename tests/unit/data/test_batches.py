from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml_playground.data.batches import Batches
from ml_playground.errors import DataError

Sampler = Literal["random", "sequential", "epoch"]
SAMPLERS: list[Sampler] = ["random", "sequential", "epoch"]


def make(
    sampler: Sampler, *, tokens: int = 103, block: int = 4, batch: int = 3, accumulate: int = 1, seed: int = 0
) -> Batches:
    return Batches(
        np.arange(tokens, dtype=np.uint16),
        block_size=block,
        batch_size=batch,
        grad_accum_steps=accumulate,
        sampler=sampler,
        seed=seed,
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_batch_is_a_pure_function_of_the_step(sampler: Sampler) -> None:
    forwards, backwards = make(sampler), make(sampler)
    steps = list(range(40))
    seen = {step: backwards(step)[0].inputs for step in reversed(steps)}
    for step in steps:
        assert torch.equal(forwards(step)[0].inputs, seen[step])


@pytest.mark.parametrize("sampler", SAMPLERS)
@given(step=st.integers(0, 10**9), tokens=st.integers(5, 200), block=st.integers(1, 4))
def test_targets_follow_inputs_and_no_window_leaves_the_text(
    sampler: Sampler, step: int, tokens: int, block: int
) -> None:
    for batch in make(sampler, tokens=tokens, block=block, accumulate=2)(step):
        assert batch.inputs.shape == batch.targets.shape == (3, block)
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert torch.equal(batch.targets, batch.inputs + 1)  # the text counts up
        assert batch.targets.max() < tokens


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_has_the_same_windows_however_they_are_cut_into_batches(sampler: Sampler) -> None:
    for step in range(20):
        whole = make(sampler, batch=8, accumulate=1)(step)
        cut = make(sampler, batch=1, accumulate=8)(step)
        assert (len(whole), len(cut)) == (1, 8)
        assert torch.equal(whole[0].inputs, torch.cat([batch.inputs for batch in cut]))


def test_an_epoch_has_every_window_once_and_each_epoch_another_order() -> None:
    batches = make("epoch", tokens=101, block=4, batch=5)  # 25 windows: 5 steps an epoch
    epochs = [np.concatenate([batches.offsets(5 * epoch + step) for step in range(5)]) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(0, 100, 4))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])


def test_a_step_across_the_end_of_an_epoch_takes_from_both() -> None:
    batches = make(
        "epoch", tokens=21, block=4, batch=3
    )  # 5 windows: the second step takes 2 of one epoch, 1 of the next
    taken = np.concatenate([batches.offsets(step) for step in range(5)])
    for epoch in range(3):
        assert sorted(taken[5 * epoch : 5 * epoch + 5]) == [0, 4, 8, 12, 16]


def test_sequential_windows_follow_each_other_and_start_again() -> None:
    batches = make("sequential", tokens=17, block=4, batch=3)
    assert [batches.offsets(step).tolist() for step in range(3)] == [[0, 4, 8], [12, 0, 4], [8, 12, 0]]


def test_random_windows_start_anywhere_that_has_room() -> None:
    starts = np.concatenate([make("random", tokens=9, block=4).offsets(step) for step in range(200)])
    assert set(starts.tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("sampler", ["random", "epoch"])
def test_another_seed_gives_other_batches(sampler: Sampler) -> None:
    assert not np.array_equal(make(sampler, seed=1).offsets(0), make(sampler, seed=2).offsets(0))


def test_tokens_per_step_count_inputs_of_all_its_batches() -> None:
    assert make("random", block=4, batch=3, accumulate=2).tokens_per_step == 24


def test_text_shorter_than_a_block_is_refused() -> None:
    make("random", tokens=5, block=4)
    with pytest.raises(DataError, match="training text has 4 tokens, too few for block_size = 4"):
        make("random", tokens=4, block=4)
