"""Whatever parts a model is made of, it is causal, it trains, and a cache changes nothing."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ml_playground.config.kinds import KINDS
from ml_playground.config.registries import MLPS, NORMS, POSITIONS
from ml_playground.config.sections import ModelConfig, SamplingConfig
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.errors import CheckpointError
from ml_playground.inference.generate import generate
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model, count_parameters, restore_model
from ml_playground.models.kinds import BuiltInModel, model_options
from ml_playground.models.parts import SwiGLUOptions
from ml_playground.models.position import Position
from ml_playground.runtime import resolve

SMALL: dict[str, Any] = {"n_layer": 2, "n_head": 4, "n_embd": 16, "block_size": 12, "vocab_size": 11}
EXTRAS: list[dict[str, Any]] = [
    {},
    {"n_kv_head": 2, "sliding_window": 4, "qk_norm": True, "tied_embeddings": False},
    {"n_kv_head": 1, "ngram_embeddings": 3, "embedding_norm": True, "value_embeddings": True, "logit_softcap": 5.0},
    {"head_dim": 6, "value_norm": True, "n_inner": 10, "bias": True, "ngram_embeddings": 4, "ngram_buckets": 50},
]
GRID = [
    {"position": position, "norm": norm, "norm_placement": placement, "mlp": mlp, **EXTRAS[index % len(EXTRAS)]}
    for index, (mlp, placement, norm, position) in enumerate(
        product(MLPS, ["pre", "post", "sandwich"], NORMS, POSITIONS)
    )
]


SOME = GRID[::7]  # each part with each other one


def named(parts: dict[str, Any]) -> str:
    return "-".join(str(value) for value in parts.values())


def lively(args: dict[str, Any]) -> LanguageModel:
    """A model whose weights are all large enough to matter."""
    torch.manual_seed(0)
    model = build_model(SMALL | args).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def some_ids(rows: int = 2) -> Tensor:
    return torch.randint(0, 11, (rows, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("parts", GRID, ids=named)
def test_no_position_sees_what_comes_after_it_and_all_see_what_came_before(parts: dict[str, Any]) -> None:
    model, ids = lively(parts), some_ids()
    changed = ids.clone()
    changed[:, 7] = (ids[:, 7] + 1) % 11
    with torch.no_grad():
        one, other = model(ids), model(changed)
    torch.testing.assert_close(one[:, :7], other[:, :7])
    for position in (7, 8, 11 if not parts.get("sliding_window") else 9):
        assert not torch.allclose(one[:, position], other[:, position])


@pytest.mark.parametrize("parts", GRID, ids=named)
def test_a_cache_changes_nothing(parts: dict[str, Any]) -> None:
    model, ids = lively(parts), some_ids()
    cached, uncached = model.new_cache(2), model.new_cache(2)
    with torch.no_grad():
        for start, end in ((0, 5), (5, 6), (6, 9), (9, 10), (10, 11), (11, 12)):
            with_cache = model.extend(ids[:, start:end], cached)
            without = LanguageModel.extend(model, ids[:, start:end], uncached)
            torch.testing.assert_close(with_cache, without, atol=1e-4, rtol=1e-4)
    whole = model.new_cache(2)
    with torch.no_grad():
        pieces = [model.extend_all(piece, whole) for piece in torch.split(ids, 5, dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids), atol=1e-4, rtol=1e-4)
    assert cached.length == uncached.length == 12
    cached.clear()
    with torch.no_grad():
        torch.testing.assert_close(model.extend(ids, cached), without, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("parts", SOME, ids=named)
def test_a_cache_leaves_every_token_as_it_is_beyond_the_context_too(
    parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, letters = lively(parts), CharTokenizer("abcdefghijk", start_token=False)

    def texts() -> list[list[list[int | None]]]:
        return [
            list(generate(model, [1, 2], letters, wanted, runtime=resolve("cpu", "float32"), seeds=[0]))
            for wanted in (
                SamplingConfig.model_validate({"max_new_tokens": 26, "temperature": each}) for each in (0, 1)
            )
        ]

    cached = texts()
    monkeypatch.setattr(type(model), "extend", LanguageModel.extend)
    assert texts() == cached
    assert len(cached[1]) == 26


@pytest.mark.parametrize("parts", GRID, ids=named)
def test_a_cache_works_in_bfloat16(parts: dict[str, Any]) -> None:
    model, ids = lively(parts).bfloat16(), some_ids()
    cache = model.new_cache(2)
    with torch.no_grad():
        logits = [model.extend(ids[:, :5], cache), model.extend(ids[:, 5:6], cache)]
    assert all(each.dtype == torch.bfloat16 and each.isfinite().all() for each in logits)


@pytest.mark.parametrize("parts", GRID, ids=named)
def test_it_trains(parts: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model, ids = build_model(SMALL | parts), some_ids()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses: list[float] = []
    for _ in range(15):
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_its_parts_and_each_can_be_set_on_its_own(kind: str) -> None:
    model = ModelConfig.model_validate({"kind": kind, "block_size": 8})
    values = model.model_dump()
    values["position"] = model.position.kind
    assert {name: values[name] for name in KINDS[kind]} == KINDS[kind]
    changed = ModelConfig.model_validate({"kind": kind, "block_size": 8, "norm": "layernorm", "n_kv_head": 2})
    assert changed.model_dump() == model.model_dump() | {"norm": "layernorm", "n_kv_head": 2}


def test_sizes_follow_from_others() -> None:
    model = ModelConfig.model_validate({"n_head": 6, "n_embd": 96, "block_size": 8, "mlp": "swiglu"})
    assert (model.n_kv_head, model.head_dim, model.n_inner) == (6, 16, 256)
    assert ModelConfig.model_validate({"n_embd": 96, "block_size": 8}).n_inner == 384


def test_without_an_mlp_there_is_none() -> None:
    for parts in ({"mlp": "none"},):
        assert not [name for name in build_model(SMALL | parts).state_dict() if "mlp" in name]


@pytest.mark.parametrize("kind", ["llama", "qwen3", "modern"])
def test_zero_initialised_models_begin_with_even_odds(kind: str) -> None:
    model = build_model(SMALL | {"kind": kind, "zero_init": True, "tied_embeddings": False})
    assert not model(some_ids()).any()


def position(kind: str, **sizes: int) -> Position:
    config = ModelConfig.model_validate({"position": kind, **sizes})
    built = config.position.build(config)
    assert isinstance(built, Position)
    return built


def test_rotated_queries_and_keys_know_their_distance_only() -> None:
    rope = position("rope", block_size=40, n_head=1, n_embd=8)
    q, k = torch.randn(2, 1, 1, 1, 8)

    def score(at: int, back: int) -> Tensor:
        return (rope.rotate(q, at) * rope.rotate(k, at - back)).sum()

    torch.testing.assert_close(score(5, 3), score(39, 3))
    assert not torch.allclose(score(5, 3), score(5, 2))
    torch.testing.assert_close(rope.rotate(q, 7).norm(), q.norm())


def test_alibi_is_linear_in_the_distance() -> None:
    alibi = position("alibi", block_size=8, n_head=8)
    bias = alibi.bias(2, 4)
    assert bias is not None
    assert bias.shape == (8, 2, 4)
    slopes = 2.0 ** -torch.arange(1, 9)
    torch.testing.assert_close(bias[:, 1], -slopes[:, None] * torch.tensor([3.0, 2.0, 1.0, 0.0]))
    assert (bias[:, 0, 3] > 0).all()  # the future, which the causal mask hides
    odd = position("alibi", block_size=8, n_head=3, n_embd=24).bias(1, 2)
    assert odd is not None
    torch.testing.assert_close(odd[:, 0, 0], -torch.tensor([2.0**-4, 2.0**-8, 2.0**-2]))


def test_a_window_hides_what_lies_further_back() -> None:
    model, ids = lively({"sliding_window": 3, "n_layer": 1}), some_ids()
    changed = ids.clone()
    changed[:, 2] = (ids[:, 2] + 1) % 11
    with torch.no_grad():
        one, other = model(ids), model(changed)
    assert not torch.allclose(one[:, 4], other[:, 4])
    torch.testing.assert_close(one[:, 5:], other[:, 5:])


def test_n_grams_beyond_the_buckets_share_rows_and_within_them_do_not() -> None:
    rows = {buckets: ngram_rows(buckets) for buckets in (121, 120)}
    assert len(set(rows[121])) == 121
    assert 60 < len(set(rows[120])) < 120
    assert max(rows[120]) < 120


def ngram_rows(buckets: int) -> list[int]:
    model = build_model(SMALL | {"ngram_embeddings": 2, "ngram_buckets": buckets})
    table = model.get_submodule("ngrams.tables.0")
    seen: list[Tensor] = []
    table.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor(list(product(range(11), range(11)))))
    return seen[0][:, 1].tolist()


def test_softcapped_logits_stay_within_the_bound() -> None:
    model = lively({"logit_softcap": 0.5})
    assert model(some_ids()).abs().max() < 0.5


@pytest.mark.parametrize(
    "bad",
    [
        {"n_kv_head": 3},
        {"position": "rope", "head_dim": 5},
        {"position": "sinusoidal", "n_embd": 15, "n_head": 3},
        {"sliding_window": 12},
        {"ngram_embeddings": 1},
        {"zero_init": True, "norm_placement": "sandwich"},
    ],
)
def test_what_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="no model can be built"):
        build_model(SMALL | bad)


@pytest.mark.parametrize("kind", KINDS)
def test_counting_and_restoring_draw_no_weights(kind: str) -> None:
    args = SMALL | {"kind": kind, "position": "rope"}  # learned positions are drawn as they are made
    model = build_model(args)
    before = torch.get_rng_state()
    assert count_parameters(args) == model.num_parameters()
    restored = restore_model(args, model.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(restored.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("parts", [*GRID, *({"kind": kind} for kind in KINDS)], ids=named)
def test_the_values_that_a_model_has_are_known_without_building_it(parts: dict[str, Any]) -> None:
    args = {key: value for key, value in (SMALL | parts).items() if key != "vocab_size"}
    for changes in ({}, {"bias": True, "tied_embeddings": False, "value_norm": True, "value_embeddings": True}):
        options = model_options(args | changes)
        assert options.parameters(11) == count_parameters({**args, **changes, "vocab_size": 11})


def test_a_model_with_a_part_from_elsewhere_is_built_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SwiGLUOptions, "parameters")
    args = {**SMALL, "mlp": "swiglu"}
    assert model_options({key: value for key, value in args.items() if key != "vocab_size"}).parameters(11) is None
    assert f"{build_model(args).num_parameters():,} parameters" in BuiltInModel(args).summary(11)
