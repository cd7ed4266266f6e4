"""Random bytes, texts and encodings as text files."""

import codecs
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from tests.fuzz.preparing import examples, prepared

ENCODINGS = [
    "auto", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp1252",
    "latin-1", "iso8859-15", "cp1251", "koi8-r", "cp437", "mac-roman", "gbk", "gb18030", "big5", "cp932", "euc-jp",
    "euc-kr", "iso2022_jp", "utf-7", "hz", "ascii", "cp037",
]  # fmt: skip
MARKS = [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE]

letters = st.text(st.characters(codec="utf-8"), max_size=200)
words = st.text(
    st.sampled_from(
        "abc xyz.,\n\r\t \x00\x0b\x0c\x1a\x85\xa0äöüßéÃ„“–ЖяλыΩ你好。，いろ한글🦊\u0301\u200d\u2028\ufeff\ufffd"
    ),
    max_size=400,
)
plain = st.text(st.sampled_from("abcdefgh xyz.,\n äöüß\n"), min_size=40, max_size=400)


def encoded(text: str, encoding: str) -> bytes:
    return text.encode("utf-8" if encoding == "auto" else encoding, "ignore")


texts = st.builds(encoded, letters | words | plain, st.sampled_from(ENCODINGS))
damaged = st.builds(
    lambda raw, at, new, mark: mark + raw[: at % (len(raw) + 1)] + new + raw[at % (len(raw) + 1) :],
    texts,
    st.integers(0, 10_000),
    st.binary(max_size=3),
    st.sampled_from([b"", b"", *MARKS]),
)
contents = st.binary(max_size=300) | texts | damaged | st.builds(lambda *parts: b"".join(parts), texts, damaged)
options = st.fixed_dictionaries(
    {
        "tokenizer": st.sampled_from(["char", "gpt2"]),
        "encoding": st.sampled_from(ENCODINGS),
    }
)
SHARES = st.sampled_from([0.01, 0.1, 0.5, 0.99])
fractions = st.fixed_dictionaries({"val_fraction": SHARES})
running = st.fixed_dictionaries({"kind": st.sampled_from(["position", "files"]), "val_fraction": SHARES})
kinds = (
    st.fixed_dictionaries({"source": st.just("text"), "split": running})
    | st.fixed_dictionaries({"source": st.just("lines"), "split": fractions})
    | st.fixed_dictionaries(
        {"source": st.just("files"), "split": fractions},
        optional={"doc_separator": st.sampled_from(["\n\n", "<|endoftext|>", "\x00", "🦊", " "])},
    )
)


@given(st.lists(contents, min_size=1, max_size=4), options, kinds)
@examples(600)
def test_any_bytes_are_prepared_or_refused(
    gpt2: TiktokenTokenizer, raw: list[bytes], stated: dict[str, Any], kind: dict[str, Any]
) -> None:
    assert gpt2.vocab_size  # that it can be had
    prepared({f"{index}.txt": content for index, content in enumerate(raw)}, **stated, **kind)


@given(letters | words | plain, st.sampled_from(ENCODINGS), st.booleans())
@example("Grüße\n" * 20, "utf-16-be", True)
@examples(600)
def test_text_in_a_known_encoding_comes_back_or_is_refused(text: str, encoding: str, recognise: bool) -> None:
    raw = encoded(text, encoding)
    try:
        known = raw.decode("utf-8" if encoding == "auto" else encoding)
    except UnicodeDecodeError:  # some encode what they cannot decode
        known = None
    found = prepared({"a.txt": raw}, encoding="auto" if recognise and encoding.startswith("utf-8") else encoding)
    if found is not None:
        assert known is not None
        expected = known.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")
        assert found.tokenizer.decode([*found.train, *found.val]) == expected


@given(plain, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-32-be"]))
@examples(300)
def test_plain_text_is_recognised(text: str, encoding: str) -> None:
    """Whatever it is in, as long as it can be told: none of it is refused."""
    found = prepared({"a.txt": text.encode(encoding)}, encoding="auto")
    assert found is not None
    assert found.tokenizer.decode([*found.train, *found.val]) == text
