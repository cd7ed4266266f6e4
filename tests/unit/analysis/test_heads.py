"""What heads attend to, on weights that are known."""

import numpy as np
import pytest

from ml_playground.analysis.heads import Habits, head_sums
from ml_playground.analysis.scores import Floats

IDS = [3, 1, 2, 3, 1, 2]


def one_hot(places: list[int]) -> Floats:
    """A head that gives all attention to one place each: weights (1, T, T)."""
    return np.eye(len(places), dtype=np.float32)[places][None]


def add(habits: Habits, weights: Floats, ids: list[int]) -> None:
    """A passage of a model with one layer (H, T, T)."""
    habits.add([(1, head_sums(weights, ids))], ids)


@pytest.mark.parametrize(
    ("places", "name", "share", "distance"),
    [
        ([0, 1, 2, 3, 4, 5], "itself", 1.0, 0.0),
        ([0, 0, 1, 2, 3, 4], "previous", 1.0, 1.0),
        ([0, 0, 0, 0, 0, 0], "first", 1.0, 3.0),
        ([0, 0, 0, 1, 2, 3], "induction", 0.6, 1.8),  # the last 3 of the 5 that count
    ],
)
def test_a_head_with_a_single_habit(places: list[int], name: str, share: float, distance: float) -> None:
    habits = Habits()
    add(habits, one_hot(places), IDS)
    (found,) = habits.result()
    assert (found.layer, found.head) == (1, 1)
    assert getattr(found, name) == pytest.approx(share)
    assert found.distance == pytest.approx(distance)


def test_passages_count_by_their_tokens() -> None:
    habits = Habits()
    add(habits, one_hot([0, 0]), [1, 2])
    add(habits, one_hot([0, 1, 2, 3]), [1, 2, 3, 4])
    add(habits, one_hot([0]), [1])  # sees nothing but itself
    (found,) = habits.result()
    assert found.previous == pytest.approx(0.25)
    assert found.itself == pytest.approx(0.75)


def test_chance_is_what_uniform_attention_gets() -> None:
    uniform = np.tril(np.ones((6, 6), dtype=np.float32))
    uniform /= uniform.sum(axis=1, keepdims=True)
    habits = Habits()
    add(habits, np.stack([uniform, uniform]), IDS)
    assert [(each.layer, each.head) for each in habits.result()] == [(1, 1), (1, 2)]
    for each in habits.result():
        assert each.induction == pytest.approx(habits.chance)
    assert habits.chance == pytest.approx((1 / 4 + 1 / 5 + 1 / 6) / 5)


def test_without_passages_there_are_no_heads() -> None:
    assert Habits().result() == []
    assert Habits().chance == 0


def test_layers_keep_their_numbers() -> None:
    habits = Habits()
    sums = [head_sums(one_hot(places), IDS) for places in ([0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 3, 4])]
    habits.add(list(zip([3, 7], sums, strict=True)), IDS)
    assert [(each.layer, each.head, each.itself, each.previous) for each in habits.result()] == [
        (3, 1, 1.0, 0.0),
        (7, 1, 0.0, 1.0),
    ]


def test_sums_are_those_of_each_pair_of_positions() -> None:
    random = np.random.RandomState(0)
    weights = np.tril(random.rand(3, 6, 6)).astype(np.float32)
    expected = np.zeros((5, 3))
    for query in range(1, 6):
        for key in range(query + 1):
            follows = key > 0 and key - 1 < query and IDS[key - 1] == IDS[query]
            counts = np.array([key == query, key == query - 1, key == 0, follows, query - key], dtype=np.float64)
            expected += counts[:, None] * weights[:, query, key]
    np.testing.assert_allclose(head_sums(weights, IDS), expected, rtol=1e-6)
