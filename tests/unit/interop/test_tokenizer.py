"""What Hugging Face's library makes of our tokenizers. llama.cpp's side is in tests/gguf."""

from pathlib import Path

import pytest

from ml_playground.data.sources import find_texts
from ml_playground.data.text import TextFile
from ml_playground.data.tokenizers import CharTokenizer, TiktokenTokenizer, Tokenizer
from ml_playground.errors import ExportError
from ml_playground.interop.tokenizer import START_TOKEN, end_of_text, fast_tokenizer, llama_vocabulary

ODD = "Ä\u00a0ö  ß\t\r\n\n„Zitat“ – naïve café 1.234,56 € \U0001f600 don't\x00\\n <|endoftext|>"


def assert_same(tokenizer: Tokenizer, text: str) -> None:
    fast, ids = fast_tokenizer(tokenizer), tokenizer.encode(text).tolist()
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
    for path in [real_data / "tinyshakespeare" / "input.txt", *find_texts(real_data / "bundestag" / "raw")]:
        text = "".join(TextFile.find(path, "auto").pieces())[:200_000]
        assert_same(CharTokenizer.of_text([text], start_token=start_token), text)
        assert_same(gpt2, text)


def test_gpt2_takes_odd_text_as_tiktoken_does(gpt2: TiktokenTokenizer) -> None:
    assert_same(gpt2, ODD)


def test_a_character_outside_the_vocabulary_is_no_silent_loss() -> None:
    fast = fast_tokenizer(CharTokenizer.of_text(["abc"], start_token=True))
    with pytest.raises(Exception, match="UNK"):
        fast.encode("abcd")


def test_the_start_of_a_document_has_a_name(gpt2: TiktokenTokenizer) -> None:
    chars = CharTokenizer.of_text(["abc"], start_token=True)
    assert end_of_text(chars) == (START_TOKEN, 3)
    assert end_of_text(CharTokenizer.of_text(["abc"], start_token=False)) is None
    assert end_of_text(gpt2) == (START_TOKEN, 50256)
    for tokenizer, token in ((chars, 3), (gpt2, 50256)):
        assert fast_tokenizer(tokenizer).token_to_id(START_TOKEN) == token


def test_llama_cpp_must_have_a_line_end_or_a_start() -> None:
    with pytest.raises(ExportError, match=r'Train with .* documents = "lines", or with a text of several lines'):
        llama_vocabulary(CharTokenizer.of_text(["abc"], start_token=False))
    assert llama_vocabulary(CharTokenizer.of_text(["abc\n"], start_token=False)).end_id is None
    assert llama_vocabulary(CharTokenizer.of_text(["abc"], start_token=True)).end_id == 3
