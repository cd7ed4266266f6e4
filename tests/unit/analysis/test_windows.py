"""Windows by their losses."""

from dataclasses import replace

import numpy as np
import pytest

from ml_playground.analysis.scores import Scores
from ml_playground.analysis.windows import full_windows

NATS = np.array([1, 3, 2, 2, 9, 0, 5], dtype=np.float32)
ZEROS = np.zeros(7, dtype=np.int64)
SCORES = Scores(
    ids=ZEROS,
    nats=NATS,
    ranks=ZEROS,
    entropies=NATS,
    confidences=NATS,
    positions=np.array([0, 1, 0, 1, 0, 1, 0]),
    top_ids=ZEROS[:, None],
    top_probabilities=NATS[:, None],
)


def test_a_shorter_last_window_is_left_out() -> None:
    found = full_windows(SCORES)
    assert found.starts.tolist() == [0, 2, 4]
    assert found.losses.tolist() == pytest.approx([2, 2, 4.5])
    assert found.length == 2


def test_a_single_window_may_be_short() -> None:
    found = full_windows(replace(SCORES, nats=NATS[:3], positions=np.arange(3)))
    assert (found.starts.tolist(), found.losses.tolist(), found.length) == ([0], [2.0], 3)
