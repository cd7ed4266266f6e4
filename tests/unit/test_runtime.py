from collections.abc import Generator

import pytest
import torch

from ml_playground.errors import OutOfMemoryError
from ml_playground.runtime import memory_errors_explained, resolve


@pytest.fixture(autouse=True)
def as_before() -> Generator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("deterministic", [True, False])
def test_deterministic_kernels_are_torchs_own_switch(*, deterministic: bool) -> None:
    resolve("cpu", "float32", deterministic=deterministic)
    assert torch.are_deterministic_algorithms_enabled() == deterministic


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory")])
def test_memory_that_runs_out_is_explained(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="batch_size smaller"), memory_errors_explained():
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_errors_explained():
        raise RuntimeError("shapes do not match")
