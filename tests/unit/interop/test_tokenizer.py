"""What Hugging Face's library makes of our tokenizers. llama.cpp's side is in tests/gguf."""

from pathlib import Path

import pytest

from ml_playground.data.text import TextFile
from ml_playground.data.tokenizers.base import START_TOKEN, Tokenizer
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import ExportError
from tests.project import texts_in

ODD = "Ä\u00a0ö  ß\t\r\n\n„Zitat“ – naïve café 1.234,56 € \U0001f600 don't\x00\\n <|endoftext|>"


def assert_same(tokenizer: Tokenizer, text: str) -> None:
    fast, ids = tokenizer.to_fast(), tokenizer.encode(text).tolist()
    fast.encode_special_tokens = True
    assert fast.encode(text, add_special_tokens=False).ids == ids
    assert fast.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("start_token", [False, True])
def test_characters_come_back_as_they_were(*, start_token: bool) -> None:
    assert_same(CharTokenizer.of_text([ODD], start_token=start_token), ODD)


@pytest.mark.parametrize("start_token", [False, True])
def test_published_protocols_and_plays_come_back_as_they_were(
    real_data: Path, gpt2: TiktokenTokenizer, *, start_token: bool
) -> None:
    for path in [real_data / "tinyshakespeare" / "input.txt", *texts_in(real_data / "bundestag" / "raw")]:
        text = "".join(TextFile.find(path, "auto").pieces())[:200_000]
        assert_same(CharTokenizer.of_text([text], start_token=start_token), text)
        assert_same(gpt2, text)


def test_gpt2_takes_odd_text_as_tiktoken_does(gpt2: TiktokenTokenizer) -> None:
    assert_same(gpt2, ODD)


def test_a_character_outside_the_vocabulary_is_no_silent_loss() -> None:
    fast = CharTokenizer.of_text(["abc"], start_token=True).to_fast()
    with pytest.raises(Exception, match="UNK"):
        fast.encode("abcd")


def test_the_start_of_a_document_has_a_name(gpt2: TiktokenTokenizer) -> None:
    chars = CharTokenizer.of_text(["abc"], start_token=True)
    assert chars.end_of_text() == (START_TOKEN, 3)
    assert CharTokenizer.of_text(["abc"], start_token=False).end_of_text() is None
    assert gpt2.end_of_text() == (START_TOKEN, 50256)
    for tokenizer, token in ((chars, 3), (gpt2, 50256)):
        assert tokenizer.to_fast().token_to_id(START_TOKEN) == token


def test_llama_cpp_must_have_a_line_end_or_a_start() -> None:
    with pytest.raises(ExportError, match=r'Train with .* source = "lines", or with a text of several lines'):
        CharTokenizer.of_text(["abc"], start_token=False).llama_vocabulary()
    assert CharTokenizer.of_text(["abc\n"], start_token=False).llama_vocabulary().end_id is None
    assert CharTokenizer.of_text(["abc"], start_token=True).llama_vocabulary().end_id == 3
