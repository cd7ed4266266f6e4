import codecs
from pathlib import Path

import pytest
import regex  # type: ignore[import-untyped]  # its stubs are a package of their own
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it has no types

from ml_playground.config.registries import TOKENIZERS
from ml_playground.data import text as text_module
from ml_playground.data.text import TextFile, joined, safe_chunks, whole_lines
from ml_playground.data.tokenizers.base import Tokenizer
from ml_playground.errors import DataError
from tests.project import texts_in


def read(file: TextFile) -> str:
    return "".join(file.pieces())


@pytest.mark.parametrize(
    ("raw", "encoding", "text", "found"),
    [
        ("Grüße", "utf-8", b"Gr\xc3\xbc\xc3\x9fe", "utf-8"),
        ("Grüße", "auto", b"Gr\xc3\xbc\xc3\x9fe", "utf-8"),
        ("Grüße", "auto", b"\xef\xbb\xbfGr\xc3\xbc\xc3\x9fe", "utf-8"),
        ("Grüße – „so“", "auto", b"Gr\xfc\xdfe \x96 \x84so\x93", "cp1252"),
        ("Grüße", "latin-1", b"Gr\xfc\xdfe", "latin-1"),
        ("Grüße", "auto", "Grüße".encode("utf-16"), "utf-16"),
        ("Grüße", "utf-16", "Grüße".encode("utf-16"), "utf-16"),
        ("a\nb\nc\n", "auto", b"a\r\nb\rc\n", "utf-8"),
        ("Grüße\n", "auto", "Grüße\n".encode("utf-16-le"), "utf-16-le"),
        ("Grüße\n", "auto", "Grüße\n".encode("utf-16-be"), "utf-16-be"),
        ("Grüße\n", "auto", "Grüße\n".encode("utf-32"), "utf-32"),
        ("Grüße\n", "auto", codecs.BOM_UTF32_BE + "Grüße\n".encode("utf-32-be"), "utf-32"),
        ("Grüße\n", "auto", "Grüße\n".encode("utf-32-le"), "utf-32-le"),
        ("Grüße\n", "auto", "Grüße\n".encode("utf-32-be"), "utf-32-be"),
        ("Привет, мир!\n", "auto", "Привет, мир!\n".encode("utf-16-le"), "utf-16-le"),
        ("你好，世界。\n一二三\n", "auto", "你好，世界。\n一二三\n".encode("utf-16-be"), "utf-16-be"),
        ("Grüße\nund mehr", "utf-8", codecs.BOM_UTF8 + "Grüße\n".encode() + codecs.BOM_UTF8 + b"und mehr", "utf-8"),
        ("one\ntwo\n", "utf-16", "one\n".encode("utf-16") + "two\n".encode("utf-16"), "utf-16"),
        ("\x1b[31mred\x1b[0m, a\x08a\n\x0c\x1a", "utf-8", b"\x1b[31mred\x1b[0m, a\x08a\n\x0c\x1a", "utf-8"),
        ("Привет\n", "koi8-r", "Привет\n".encode("koi8-r"), "koi8-r"),
        ("\ufeff".join(["", "x"]).replace("\ufeff", ""), "utf-16-le", "\ufeffx".encode("utf-16-le"), "utf-16-le"),
    ],
)
def test_text_is_read_in_its_encoding(tmp_path: Path, raw: str, encoding: str, text: bytes, found: str) -> None:
    (tmp_path / "a.txt").write_bytes(text)
    file = TextFile.find(tmp_path / "a.txt", encoding)
    assert (read(file), file.encoding) == (raw, found)


def test_a_file_that_does_not_decode_is_named_with_the_place_and_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"Gr\xfc\xdfe")
    expected = r'a\.txt: byte 0xfc at offset 2 is not utf-8\. Set \[prepare\] encoding to .*"auto" or "cp1252"'
    with pytest.raises(DataError, match=expected):
        read(TextFile.find(tmp_path / "a.txt", "utf-8"))


def test_bytes_that_are_no_text_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"ab\x81\xff")
    with pytest.raises(DataError, match=r"byte 0x81 at offset 2 is not utf-8; byte 0x81 at offset 2 is not cp1252"):
        TextFile.find(tmp_path / "a.txt", "auto")


LONG = "Grüße aus Köln, schöne Wörter.\n" * 1000


@pytest.mark.parametrize(
    ("raw", "encoding", "why"),
    [
        (
            LONG.encode()[:5000] + b"\xff" + LONG.encode()[5000:],
            "auto",
            r"byte 0xff at offset 5,000 is not utf-8, but 5,000",
        ),
        (LONG.encode() + b"\xe4", "cp1252", r"byte 0xe4 at offset [\d,]+ is not utf-8.*Fix the file"),
        ("Привет, мир\n".encode() * 9 + b"\xff", "auto", "byte 0xff at offset 189"),
        (codecs.BOM_UTF8 + b"plain \xe4", "auto", "begins with the mark of UTF-8|byte 0xe4 at offset 9 is not utf-8"),
        ("Grüße\n".encode(), "latin-1", 'is UTF-8, not latin-1.*such as "utf-8"'),
        ("Grüße\n".encode(), "cp1252", 'is UTF-8, not cp1252.*such as "utf-8"'),
        (codecs.BOM_UTF8 + b"plain", "cp1252", 'begins with the mark of UTF-8.*such as "utf-8"'),
        ("„so“\n".encode("cp1252"), "latin-1", r'no letters for \(1 times U\+0084.*such as "cp1252"'),
        ("Grüße\n".encode("utf-16-le"), "utf-8", 'not utf-8.*such as "utf-16-le"'),
        ("plain\n".encode("utf-16-le"), "utf-8", 'holds 6 NUL characters.*such as "utf-16-le"'),
        ("plain\n".encode("utf-16"), "latin-1", 'NUL characters.*such as "utf-16"'),
        ("plain\n".encode("utf-16"), "utf-8", 'byte 0xff at offset 0 is not utf-8.*such as "utf-16"'),
        ("plain\n".encode("utf-32-be"), "cp1252", 'NUL characters.*such as "utf-32-be"'),
        (b"plain text in ASCII\n" * 5, "utf-16-le", 'is not utf-16-le.*such as "utf-8"'),
        ("plain\n".encode("utf-16-le"), "utf-16-be", "U\\+|NUL|not utf-16-be"),
        (b"\xff\xfeo\0n\0e\0" + b"\xfe\xff\0t\0w\0o", "auto", "U\\+FFFE|among"),
        (b"a\0b", "utf-8", "holds 1 NUL characters"),
        (b"a\0b", "auto", "holds 1 NUL characters"),
        (bytes(range(1, 7)) * 9, "utf-8", "are among its 54 characters"),
        (("lost \ufffd" * 9).encode(), "utf-8", r"9 times U\+FFFD are among"),
        ("Съешь ещё этих мягких французских булок\n".encode("cp1251") * 3, "auto", 'accents.*such as "cp1251"'),
        ("Съешь ещё этих мягких французских булок\n".encode("cp1251") * 3, "utf-8", 'such as "cp1251" or "cp1253"'),
        ("Θέλει αρετή και τόλμη η ελευθερία\n".encode("cp1253") * 3, "auto", 'such as "cp1251" or "cp1253"'),
        ("Съешь ещё этих мягких французских булок\n".encode("koi8-r") * 3, "utf-8", 'such as "koi8-r"'),
        (
            "Съешь ещё этих мягких французских булок\n".encode("koi8-r") * 3,
            "latin-1",
            "letters have accents|no letters",
        ),
        ("いろはにほへと\n".encode("cp932") * 9, "auto", "not utf-8"),
    ],
)
@pytest.mark.parametrize("block", [2**18, 64, 7])
def test_text_that_is_evidently_in_another_encoding_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: bytes, encoding: str, why: str, block: int
) -> None:
    monkeypatch.setattr(text_module, "_BLOCK", block)
    (tmp_path / "a.txt").write_bytes(raw)
    with pytest.raises(DataError, match=why) as refused:
        TextFile.find(tmp_path / "a.txt", encoding)
    assert "[prepare] encoding" in str(refused.value)


def test_quotes_in_windows_1252_are_not_taken_for_utf8(tmp_path: Path) -> None:
    """The bytes of "Ä" and a quote after it are a letter of UTF-8."""
    (tmp_path / "a.txt").write_bytes("„Ä“ und „Ü“, Spaß“ – schön.\n".encode("cp1252") * 50)
    assert TextFile.find(tmp_path / "a.txt", "auto").encoding == "cp1252"


def test_a_few_strange_characters_are_reported_and_not_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("plain text\n" * 500 + "\ufffd", encoding="utf-8")
    assert TextFile.find(tmp_path / "a.txt", "utf-8").doubts == "1 times U+FFFD"


def twice(text: str, between: str = "cp1252") -> str:
    """What somebody gets who takes a text in UTF-8 for one in another encoding."""
    return text.encode().decode(between)


@pytest.mark.parametrize("encoding", ["utf-8", "auto"])
@pytest.mark.parametrize(
    ("text", "between"),
    [
        ("Grüße aus Köln, schöne Mädchen\n", "cp1252"),
        ("Grüße aus Köln, schöne Mädchen\n", "latin-1"),
        ("„So“ – schön.\n", "latin-1"),
        ("Съешь ещё этих булок\n", "latin-1"),
    ],
)
def test_utf8_that_was_encoded_twice_is_refused(tmp_path: Path, encoding: str, text: str, between: str) -> None:
    (tmp_path / "a.txt").write_text(twice(text, between) * 50, encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.txt: looks like UTF-8 that was read as (cp1252|latin1)") as refused:
        TextFile.find(tmp_path / "a.txt", encoding)
    codec = str(refused.value).split("iconv -f utf-8 -t ")[1].split()[0]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8").encode(codec).decode() == text * 50


def test_a_little_text_that_was_encoded_twice_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Schöne Grüße nach Köln\n" * 9 + twice("Grüße\n"), encoding="utf-8")
    doubts = TextFile.find(tmp_path / "a.txt", "utf-8").doubts
    assert (
        doubts == "1 times 'Ã¼', which is 'ü' encoded as UTF-8 twice, 1 times 'ÃŸ', which is 'ß' encoded as UTF-8 twice"
    )


@pytest.mark.parametrize("text", ["« Égalité\xa0», CAFÉ», AMANHÃ”, IRMÃ… à\xa0«\xa0côté\xa0»\n", "naïve café – „Ä“\n"])
def test_accents_beside_quotes_are_no_reason_for_doubt(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text * 50, encoding="utf-8")
    assert not TextFile.find(tmp_path / "a.txt", "utf-8").doubts


def test_the_published_protocols_are_read_without_a_wrong_character(real_data: Path) -> None:
    found = {}
    for path in texts_in(real_data / "bundestag" / "raw"):
        file = TextFile.find(path, "auto")
        text, found[path.name] = read(file), file.encoding
        assert "\r" not in text
        assert "\ufeff" not in text
        assert "Präsident" in text
        assert not set(text) & set("ÃÂ\x80\x96�")
    assert sorted(found.values()) == ["cp1252", "cp1252", "cp1252", "utf-8"]
    assert found["18081.txt"] == "utf-8"


def test_a_protocol_read_as_utf8_is_named_with_the_offset(real_data: Path) -> None:
    path = real_data / "bundestag" / "raw" / "17241.txt"
    with pytest.raises(DataError, match=r"17241\.txt: byte 0x\w\w at offset [\d,]+ is not utf-8"):
        read(TextFile.find(path, "utf-8"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_a_text_is_the_same_in_blocks_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, block: int
) -> None:
    text = "Größe\r\nund „so“\rweiter\n\r\n" + ("🦊\r" if encoding != "cp1252" else "")
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    monkeypatch.setattr(text_module, "_BLOCK", block)
    sizes: list[int] = []
    pieces = list(TextFile(tmp_path / "a.txt", encoding).pieces(sizes.append))
    assert "".join(pieces) == text.replace("\r\n", "\n").replace("\r", "\n")
    assert all(pieces)
    assert sum(sizes) == len(text.encode(encoding))


def test_the_place_of_a_byte_is_counted_from_the_start_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_bytes("größer".encode() + b"\xc3" + b"x")
    monkeypatch.setattr(text_module, "_BLOCK", 3)
    with pytest.raises(DataError, match=r"byte 0xc3 at offset 8 is not utf-8\."):
        read(TextFile(tmp_path / "a.txt", "utf-8"))


def test_a_file_cut_within_a_character_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("groß".encode()[:-1])
    with pytest.raises(DataError, match=r"byte 0xc3 at offset 3 is not utf-8\."):
        read(TextFile(tmp_path / "a.txt", "utf-8"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_text_whose_byte_order_is_not_marked_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("Grüße".encode(f"{encoding}-le"))
    with pytest.raises(DataError, match="does not start with BOM"):
        read(TextFile(tmp_path / "a.txt", encoding))


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + b"a+2Ag-b")  # UTF-7 for half of a pair
    with pytest.raises(DataError, match="not"):
        read(TextFile(tmp_path / "a.txt", "utf-7"))


@given(st.lists(st.sampled_from(["", "a", "a\n", "\n"]), max_size=4))
def test_files_are_joined_at_line_ends(tmp_path_factory: pytest.TempPathFactory, contents: list[str]) -> None:
    folder = tmp_path_factory.mktemp("files")
    files = [TextFile(folder / f"{index}.txt", "utf-8") for index in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.path.write_text(content)
    pieces = list(joined((index, piece) for index, file in enumerate(files) for piece in file.pieces()))
    text = "".join(piece for _, piece, _ in pieces)
    assert "".join(piece for _, piece, was_added in pieces if not was_added) == "".join(contents)
    there = [content for content in contents if content]
    assert text == "".join(one if one.endswith("\n") else one + "\n" for one in there[:-1]) + "".join(there[-1:])


@given(st.text(alphabet="ab \n"), st.integers(1, 5))
def test_lines_do_not_depend_on_the_pieces(text: str, size: int) -> None:
    pieces = [text[first : first + size] for first in range(0, len(text), size)]
    found = [line for some in whole_lines(pieces) for line in some]
    assert "".join(found) == text
    assert [line.removesuffix("\n") for line in found] == text.removesuffix("\n").split("\n") * bool(text)


def test_a_line_of_many_pieces_takes_no_longer_than_they_do() -> None:
    """Joining all that is there with each piece would copy 20 GB here."""
    pieces = ["x" * 10_000] * 2_000
    ((line,),) = whole_lines(pieces)
    assert len(line) == 20_000_000


@given(st.text(alphabet="a1.' \n。é\t"), st.integers(1, 5))
def test_what_is_separated_is_the_same_text(text: str, size: int) -> None:
    pieces = list(safe_chunks(iter([text[:3], text[3:4], text[4:]]), size))
    assert "".join(pieces) == text
    assert all(len(piece) >= size for piece in pieces[:-1])


def pretokens(encoding: str, text: str) -> list[str]:
    """What an encoding cuts a text into before it looks anything up in its vocabulary, which stays out of it here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: {})
        patch.setattr(openai_public, "data_gym_to_mergeable_bpe_ranks", lambda *_, **__: {})
        pattern = str(openai_public.ENCODING_CONSTRUCTORS[encoding]()["pat_str"])
    found: list[str] = regex.findall(pattern, text)
    return found


encodings = [name for name in TOKENIZERS.built_in if name not in ("char", "huggingface")]


@pytest.mark.parametrize("encoding", encodings)
@pytest.mark.parametrize("size", [1, 10, 1000])
def test_no_token_spans_two_pieces(real_data: Path, encoding: str, size: int) -> None:
    for path in (real_data / "tinyshakespeare" / "input.txt", real_data / "bundestag" / "raw" / "18081.txt"):
        text = path.read_text(encoding="utf-8")[:30_000]
        pieces = list(safe_chunks([text], size))
        assert len(pieces) > len(text) / (size + 30)
        assert [token for piece in pieces for token in pretokens(encoding, piece)] == pretokens(encoding, text)


@pytest.mark.parametrize("encoding", encodings)
@given(text=st.text(alphabet="aZé1²½'’s.!/-_ \n\r\t\u3000\x1f\x85。，字\u0301🦊\u200d", max_size=40))
@settings(max_examples=300)
def test_no_token_spans_two_pieces_of_any_text(encoding: str, text: str) -> None:
    pieces = list(safe_chunks([text], 1))
    assert [token for piece in pieces for token in pretokens(encoding, piece)] == pretokens(encoding, text)


def test_gpt2s_tokens_of_the_pieces_are_those_of_the_whole_text(gpt2: Tokenizer, real_data: Path) -> None:
    text = (real_data / "tinyshakespeare" / "input.txt").read_text()[:100_000]
    assert [token for piece in safe_chunks([text], 100) for token in gpt2.encode(piece)] == gpt2.encode(text).tolist()


def test_a_pointer_of_git_lfs_is_not_taken_for_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n")
    with pytest.raises(DataError, match="is a Git LFS pointer, not the text itself"):
        TextFile.find(path, "utf-8")
