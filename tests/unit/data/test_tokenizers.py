import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_playground.data.text import in_short_blanks
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.options import load_tokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import CheckpointError, DataError, PromptError

texts = st.text(st.characters(codec="utf-8"), min_size=1)


@given(texts, st.booleans())
def test_characters_make_the_round_trip(text: str, start_token: bool) -> None:
    tokenizer = CharTokenizer.of_text(text, start_token=start_token)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) == len(text)
    assert sum(len(tokenizer.token_bytes(token)) for token in ids.tolist()) == len(text.encode())


@given(texts)
def test_a_description_in_json_makes_an_equal_tokenizer(text: str) -> None:
    tokenizer = CharTokenizer.of_text(text, start_token=True)
    again = load_tokenizer(json.loads(json.dumps(tokenizer.describe())))
    assert again.vocab_size == tokenizer.vocab_size
    assert again.start_id == tokenizer.start_id
    assert np.array_equal(again.encode(text), tokenizer.encode(text))


def test_characters_are_numbered_in_code_point_order_as_in_nanogpt() -> None:
    assert CharTokenizer.of_text("hello äß", start_token=False).characters == sorted(set("hello äß"))


def test_characters_in_another_order_keep_it() -> None:
    tokenizer = CharTokenizer("zab", start_token=False)
    assert tokenizer.encode("abz").tolist() == [1, 2, 0]
    assert tokenizer.decode([0, 1, 2]) == "zab"


def test_the_start_token_comes_after_the_characters_and_stands_for_no_text() -> None:
    tokenizer = CharTokenizer.of_text("ab", start_token=True)
    assert (tokenizer.start_id, tokenizer.vocab_size) == (2, 3)
    assert tokenizer.decode([2, 0, 1, 2]) == "ab"


def test_every_character_outside_the_vocabulary_is_named_once() -> None:
    tokenizer = CharTokenizer.of_text("abc", start_token=False)
    with pytest.raises(PromptError, match=r"vocabulary's 3 characters: 'é' \(LATIN .* ACUTE\), '\\n' \(U\+000A\)$"):
        tokenizer.encode("aébé\nc")


@pytest.mark.parametrize("text", ["Grüße aus Köln", "emoji 🦊 and\r\n\ttabs", "<|endoftext|>", ""])
def test_gpt2_makes_the_round_trip(gpt2: Tokenizer, text: str) -> None:
    ids = gpt2.encode(text)
    assert gpt2.decode(ids) == text
    assert sum(len(gpt2.token_bytes(token)) for token in ids.tolist()) == len(text.encode())
    assert gpt2.start_id not in ids


def test_gpt2_has_the_published_ids(gpt2: Tokenizer) -> None:
    assert gpt2.encode("Hello world").tolist() == [15496, 995]
    assert (gpt2.vocab_size, gpt2.start_id) == (50257, 50256)
    assert load_tokenizer(gpt2.describe()).vocab_size == 50257


@pytest.mark.parametrize("text", [" " * 1_500_000 + "x", "x" + "\n" * 1_200_000 + " \t" * 400_000 + "x", "\t" * 10**6])
def test_a_million_blanks_are_no_trouble(gpt2: Tokenizer, text: str) -> None:
    assert gpt2.decode(gpt2.encode(text)) == text


def test_long_runs_of_blanks_are_cut_so_that_the_last_stays_with_what_follows(gpt2: TiktokenTokenizer) -> None:
    text = f"one{' ' * 200_000}two{' ' * 70_000}"
    pieces = list(in_short_blanks(text))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 2**16 + 4
    assert [token for piece in pieces for token in gpt2.encode(piece)] == gpt2.encode(text).tolist()


def test_the_name_of_a_special_token_means_it_in_a_prompt_and_is_text_in_a_text(gpt2: TiktokenTokenizer) -> None:
    assert gpt2.encode_prompt("a<|endoftext|>").tolist() == [64, 50256]
    assert 50256 not in gpt2.encode("a<|endoftext|>")
    without_start = TiktokenTokenizer("gpt2", start_token=False)
    assert without_start.encode_prompt("<|endoftext|>").tolist() == [50256]
    assert without_start.token_bytes(50256) == b""  # it is no text, whatever documents are


def test_part_of_a_character_decodes_to_the_replacement_mark(gpt2: Tokenizer) -> None:
    assert gpt2.decode(gpt2.encode("🦊")[:1]) == "�"


def test_an_unreachable_vocabulary_says_where_to_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no one listens there
    with pytest.raises(DataError, match=r"p50k_base vocabulary.*TIKTOKEN_CACHE_DIR=<folder>"):
        TiktokenTokenizer("p50k_base", start_token=False)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(CheckpointError, match="unknown kind of tokenizer: 'future'"):
        load_tokenizer({"kind": "future"})
