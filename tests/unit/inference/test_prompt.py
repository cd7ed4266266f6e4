from pathlib import Path

import pytest

from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.errors import PromptError
from ml_playground.inference.prompt import encode_prompt, read_prompt

PLAIN = CharTokenizer("abc", start_token=False)
PHRASES = CharTokenizer("abc", start_token=True)


def test_a_prompt_is_itself_or_a_files_text(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("größer\n", encoding="utf-8")
    assert read_prompt("FILE") == "FILE"
    assert read_prompt(f"FILE:{tmp_path / 'p.txt'}") == "größer\n"


def test_a_prompt_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"start: .*p\.txt cannot be read: No such file"):
        read_prompt(f"FILE:{tmp_path / 'p.txt'}")
    (tmp_path / "p.txt").write_bytes(b"gr\xf6\xdfer")
    with pytest.raises(PromptError, match=r"p\.txt is not UTF-8 text \(byte 2\)"):
        read_prompt(f"FILE:{tmp_path / 'p.txt'}")


def test_documents_begin_with_their_start_token() -> None:
    assert encode_prompt("ba", PLAIN) == [1, 0]
    assert encode_prompt("ba", PHRASES) == [3, 1, 0]
    assert encode_prompt("", PHRASES) == [3]


def test_nothing_to_start_from_is_refused() -> None:
    with pytest.raises(PromptError, match=r"\[sample\.sample\] start: is empty"):
        encode_prompt("", PLAIN)


def test_a_character_outside_the_vocabulary_is_refused_by_name() -> None:
    with pytest.raises(
        PromptError, match=r"\[sample\.sample\] start: not among .* 'é' \(LATIN SMALL LETTER E WITH ACUTE"
    ):
        encode_prompt("abé", PLAIN)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(PromptError, match="is not a character"):
        encode_prompt("a\ud800", CharTokenizer("ab", start_token=False))


def test_a_file_name_that_cannot_be_is_refused() -> None:
    with pytest.raises(PromptError, match="cannot be read"):
        read_prompt("FILE:a\0b")


@pytest.mark.parametrize("text", ["", "abé", "a\ud800"])
def test_a_message_names_the_option_that_the_text_comes_from(text: str) -> None:
    with pytest.raises(PromptError, match=r"^\[explore\] text: "):
        encode_prompt(text, PLAIN, "[explore] text")
    with pytest.raises(PromptError, match=r"^\[explore\] text: .*cannot be read"):
        read_prompt("FILE:nowhere", "[explore] text")
