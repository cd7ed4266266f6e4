from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ml_playground.config.sections import SamplingConfig
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.inference.generate import generate, prefill, split_streams, stream_text
from ml_playground.models.base import LanguageModel
from ml_playground.models.build import build_model
from ml_playground.models.cache import Cache
from ml_playground.runtime import resolve

RUNTIME = resolve("cpu", "float32")
LETTERS = CharTokenizer("abcdefgh", start_token=False)
PHRASES = CharTokenizer("abcdefg", start_token=True)
ARGS: dict[str, Any] = {"n_layer": 1, "n_head": 1, "n_embd": 8, "dropout": 0.5, "bias": False, "vocab_size": 8}


@pytest.fixture
def model() -> LanguageModel:
    torch.manual_seed(3)
    return build_model(ARGS | {"block_size": 4}).eval()


class Counting(LanguageModel):
    """Predicts the id after the last one it is shown, and remembers how much it was shown."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.block_size = 4
        self.vocab_size = vocab_size
        self.lengths: list[int] = []
        self.none = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor) -> Tensor:
        self.lengths.append(ids.shape[1])
        return 9.0 * nn.functional.one_hot(ids + 1, self.vocab_size).float()


def sampling(**options: object) -> SamplingConfig:
    return SamplingConfig.model_validate({"max_new_tokens": 20} | options)


def made(
    model: LanguageModel, prompt: list[int], tokenizer: CharTokenizer, seed: int = 0, **options: object
) -> list[int]:
    steps = generate(model, prompt, tokenizer, sampling(**options), runtime=RUNTIME, seeds=[seed])
    return list(split_streams(steps, 1)[0])


def tokens(model: LanguageModel, seed: int = 0, **options: object) -> list[int]:
    return made(model, [0, 1], LETTERS, seed=seed, **options)


def test_the_same_seed_makes_the_same_tokens_and_another_seed_others(model: LanguageModel) -> None:
    assert tokens(model) == tokens(model)
    assert tokens(model, seed=1) != tokens(model)
    assert len(tokens(model)) == 20


def test_temperature_0_needs_no_seed(model: LanguageModel) -> None:
    assert tokens(model, temperature=0.0) == tokens(model, seed=1, temperature=0.0)


@pytest.mark.parametrize("prompt", [[0], [0, 1, 2], [0, 1, 2, 3], [3, 2, 1, 0, 1, 2, 3]])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_prompt_is_read_once_for_all_its_texts(model: LanguageModel, prompt: list[int], rows: int) -> None:
    options, read = sampling(), 0
    extend = model.extend
    before = [
        list(generate(model, prompt, LETTERS, options, runtime=RUNTIME, seeds=range(first, first + rows)))
        for first in (0, rows)
    ]

    def counted(ids: Tensor, cache: Cache) -> Tensor:
        nonlocal read
        read += (
            cache.length == 0 and ids.shape[1] == len(prompt[-4:]) and bool((ids[0] == torch.tensor(prompt[-4:])).all())
        )
        return extend(ids, cache)

    model.extend = counted  # type: ignore[method-assign]  # of this one model
    prefilled = prefill(model, prompt, RUNTIME)
    for texts, first in zip(before, (0, rows), strict=True):
        seeds = range(first, first + rows)
        steps = generate(model, prompt, LETTERS, options, runtime=RUNTIME, seeds=seeds, prefilled=prefilled)
        assert next(steps) == texts[0]
        assert read == 1
        assert list(steps) == texts[1:]
        read = 1


def test_a_memory_of_an_unknown_kind_is_not_copied() -> None:
    class Remembering(Counting):
        def new_cache(self, batch_size: int) -> Cache:
            cache = super().new_cache(batch_size)
            cache.state = []  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
            return cache

    model = Remembering(8)
    prefilled = prefill(model, [0, 1], RUNTIME)
    assert prefilled.cache.repeated(1) is None
    options = sampling(max_new_tokens=2, temperature=0.0)
    steps = generate(model, [0, 1], LETTERS, options, runtime=RUNTIME, seeds=[0], prefilled=prefilled)
    assert list(steps) == [[2], [3]]
    assert model.lengths == [2, 2, 3]


def test_a_full_context_forgets_its_older_half(model: LanguageModel) -> None:
    ids, context = [0, 1], [0, 1]
    for _ in range(20):
        ids.append(int(model(torch.tensor([context]))[0, -1].argmax()))
        context = [*context, ids[-1]] if len(context) < 4 else [context[-1], ids[-1]]
    assert tokens(model, temperature=0.0) == ids[2:]


def test_the_model_sees_the_last_block_only() -> None:
    model = Counting(8)
    assert tokens(model, temperature=0.0, max_new_tokens=6) == [2, 3, 4, 5, 6, 7]
    assert model.lengths == [2, 3, 4, 2, 3, 4]


def test_a_prompt_longer_than_the_context_is_seen_from_its_end() -> None:
    model = Counting(30)
    assert made(model, list(range(20)), LETTERS, temperature=0.0, max_new_tokens=1) != []
    assert model.lengths == [4]


def test_texts_side_by_side_are_those_that_come_one_by_one(model: LanguageModel) -> None:
    steps = generate(model, [0, 1], LETTERS, sampling(), runtime=RUNTIME, seeds=[3, 4, 5])
    assert [list(text) for text in split_streams(steps, 3)] == [tokens(model, seed=seed) for seed in (3, 4, 5)]


def test_texts_side_by_side_end_each_by_itself() -> None:
    steps = generate(Counting(9), [3], PHRASES, sampling(temperature=0.0), runtime=RUNTIME, seeds=[0, 1])
    assert split_streams(steps, 2) == [[4, 5, 6], [4, 5, 6]]
    assert list(generate(Counting(9), [6], PHRASES, sampling(temperature=0.0), runtime=RUNTIME, seeds=[0, 1])) == []


def test_a_document_ends_where_the_next_would_start() -> None:
    assert made(Counting(9), [3], PHRASES, temperature=0.0) == [4, 5, 6]


def test_ids_that_only_pad_the_vocabulary_are_never_made() -> None:
    assert all(
        token < LETTERS.vocab_size for token in made(Counting(50), [6], LETTERS, temperature=0.0, max_new_tokens=3)
    )


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_streamed_text_is_the_whole_text(text: str) -> None:
    tokenizer = CharTokenizer.of_text(text + "x", start_token=False)
    assert "".join(stream_text(tokenizer, tokenizer.encode(text).tolist())) == text


def test_a_character_of_several_tokens_comes_when_it_is_whole(gpt2: TiktokenTokenizer) -> None:
    fox = gpt2.encode("a🦊b").tolist()
    pieces = list(stream_text(gpt2, fox))
    assert "".join(pieces) == "a🦊b"
    assert "�" not in "".join(pieces)
    assert "".join(stream_text(gpt2, fox[:2])) == "a�"
