import numpy as np
import pytest
import torch

from ml_playground.data.batches import IGNORED, Batches
from ml_playground.training.prefetch import Prefetcher


@pytest.fixture
def batches() -> Batches:
    text = np.arange(1000, dtype=np.uint16)
    return Batches(text, block_size=4, batch_size=3, grad_accum_steps=2, sampler="random", seed=1)


@pytest.mark.parametrize("ahead", [False, True])
def test_each_step_gets_its_own_batches_in_whatever_order_they_are_asked_for(batches: Batches, ahead: bool) -> None:
    prefetcher = Prefetcher(batches, torch.device("cpu"), ahead=ahead)
    for step in (0, 1, 2, 7, 7, 3, 4):
        given, count = prefetcher.take(step)
        assert count == 2 * 3 * 4
        for one, other in zip(given, batches(step), strict=True):
            assert torch.equal(one.inputs, other.inputs)
            assert torch.equal(one.targets, other.targets)


def test_targets_that_are_ignored_do_not_count(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    made = batches(0)
    made[1].targets[:, 1:] = IGNORED
    monkeypatch.setattr(Batches, "__call__", lambda *_: made)
    assert Prefetcher(batches, torch.device("cpu"), ahead=False).take(0)[1] == 3 * 4 + 3


def test_a_failure_of_the_thread_shows_when_its_batches_are_needed(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefetcher = Prefetcher(batches, torch.device("cpu"), ahead=True)
    monkeypatch.setattr(Batches, "__call__", lambda _, step: [][step])
    with pytest.raises(IndexError):
        prefetcher.take(0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_step_waits_for_nothing_on_a_gpu(batches: Batches) -> None:
    prefetcher = Prefetcher(batches, torch.device("cuda"), ahead=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        given = prefetcher.take(0)[0] + prefetcher.take(1)[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(given[0].inputs.cpu(), batches(0)[0].inputs)
