"""Tokenizers trained on the spot, of the kinds that models come with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ml_playground.config.sections import PrepareConfig
from ml_playground.data.manifest import differences, read_manifest, settings_of
from ml_playground.data.prepare import prepare_texts
from ml_playground.data.tokenizers.char import CharTokenizer
from ml_playground.data.tokenizers.huggingface import FastTokenizer, library_of
from ml_playground.data.tokenizers.of_model import tokenizer_of_model
from ml_playground.data.tokenizers.options import load_tokenizer
from ml_playground.data.tokenizers.tiktoken import TiktokenTokenizer
from ml_playground.errors import CheckpointError, DataError, PromptError

TEXT = "Grüß Gott – sagt „der“ Präsident, 1.234 Mal.\n\nAnd  two spaces; <s> is text.\n" * 20


def by_bytes() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r" ?\p{L}+| ?[^\s\p{L}]+|\s+"), "isolated"), pre_tokenizers.ByteLevel(False, False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    tokenizer.add_special_tokens([AddedToken("<s>", special=True)])
    return tokenizer


def by_sentencepiece() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=400, special_tokens=[*bytes_, "<s>"]))
    values = json.loads(tokenizer.to_str())
    values["added_tokens"] = [each for each in values["added_tokens"] if each["content"] == "<s>"]
    return Tokenizer.from_str(json.dumps(values))


def folder_with(tokenizer: Tokenizer, folder: Path, about: str = '{"eos_token": {"content": "<s>"}}') -> str:
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(about)
    return str(folder)


KINDS = pytest.mark.parametrize("make", [by_bytes, by_sentencepiece], ids=["bytes", "sentencepiece"])


@KINDS
@pytest.mark.parametrize("text", [TEXT, "naïve \U0001f600 日本\t\r\n", ""])
def test_text_comes_back_and_every_byte_is_counted(make: Callable[[], Tokenizer], text: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of_model(folder_with(make(), tmp_path / "model"), packing="started")
    assert isinstance(tokenizer, FastTokenizer)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids.tolist()) == text
    assert sum(len(tokenizer.token_bytes(token)) for token in ids) == len(text.encode())
    assert tokenizer.start_id == tokenizer.end_id
    assert tokenizer.start_id not in ids  # its name is text like any other
    again = load_tokenizer(json.loads(json.dumps(tokenizer.describe())))
    assert again.describe() == tokenizer.describe()
    assert again.start_id == tokenizer.start_id


def test_pieces_have_the_tokens_of_the_whole(tmp_path: Path) -> None:
    tokenizer = tokenizer_of_model(folder_with(by_bytes(), tmp_path / "model"), packing="running")
    pieces = list(tokenizer.safe_chunks([TEXT] * 400))
    assert len(pieces) > 1
    assert [id_ for piece in pieces for id_ in tokenizer.encode(piece)] == tokenizer.encode(TEXT * 400).tolist()
    other = tokenizer_of_model(folder_with(by_sentencepiece(), tmp_path / "other"), packing="running")
    assert list(other.safe_chunks(["a", "b"])) == ["ab"]


def test_gpt2s_tokenizer_is_the_same_as_a_file(gpt2: TiktokenTokenizer, real_data: Path) -> None:
    text = (real_data / "tinyshakespeare" / "input.txt").read_text()[:200_000]
    fast = FastTokenizer(gpt2.to_fast().to_str(), end_token="<|endoftext|>", start_token="<|endoftext|>")
    assert fast.encode(text).tolist() == gpt2.encode(text).tolist()
    assert all(fast.token_bytes(token) == gpt2.token_bytes(token) for token in range(gpt2.vocab_size))
    assert fast.start_id == gpt2.start_id
    assert fast.vocab_size == gpt2.vocab_size


def config_for(folder: Path, source: str, kind: str = "text") -> PrepareConfig:
    return PrepareConfig.model_validate(
        {
            "dataset": "x",
            "dataset_dir": folder / "datasets",
            "raw_dir": folder / "raw",
            "tokenizer": {"kind": "huggingface", "model": source, "revision": None},
            "source": kind,
        }
    )


def by_metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("_", prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace("_", prepend_scheme="never")
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>"]))
    return tokenizer


@pytest.mark.parametrize("make", [by_bytes, by_sentencepiece, by_metaspace])
@pytest.mark.parametrize("added", ["Größe", "<Ä_1>", "日本", "Ġx", "<0x41>b"])
def test_added_tokens_are_text_as_it_is(make: Callable[[], Tokenizer], added: str) -> None:
    tokenizer = make()
    tokenizer.add_tokens([AddedToken(added, special=False, normalized=False)])
    fast = FastTokenizer(tokenizer.to_str(), end_token="<s>")
    ids = fast.encode(f"Gott {added} sagt").tolist()
    assert tokenizer.token_to_id(added) in ids
    assert fast.decode(ids) == f"Gott {added} sagt"
    assert sum(len(fast.token_bytes(token)) for token in ids) == len(f"Gott {added} sagt".encode())


def test_a_token_of_the_vocabulary_that_is_added_too_is_read_as_the_vocabulary_has_it() -> None:
    """As Gemma's runs of spaces."""
    tokenizer = by_sentencepiece()
    tokenizer.add_tokens([AddedToken("▁▁", special=False, normalized=False)])
    values = json.loads(tokenizer.to_str())
    values["model"]["vocab"]["▁▁"] = tokenizer.token_to_id("▁▁")
    values["model"]["merges"].append(["▁", "▁"])
    fast = FastTokenizer(json.dumps(values), end_token="<s>")
    assert fast.decode(fast.encode("And  two").tolist()) == "And  two"


UNKNOWN = "Gott sagt, \N{SNOWMAN}\N{FOX FACE}\N{SNOWMAN}.\n"


def test_lost_characters_are_counted_over_all_of_the_text_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    files = [tmp_path / "raw" / f"{index}.txt" for index in range(4)]
    for file in files:
        file.write_text(TEXT * 100 + UNKNOWN, encoding="utf-8")
    config = config_for(tmp_path, folder_with(by_metaspace(), tmp_path / "model"))
    manifest = prepare_texts(files, config)
    said = capsys.readouterr().out
    assert "no token for 12 of the text's" in said
    assert "'☃' (SNOWMAN) 8 times, '🦊' (FOX FACE) 4 times" in said
    assert 0 < manifest.lost < 0.001
    strict = config.model_copy(update={"max_lost": 0.0})
    assert differences(manifest, strict, files) == [
        f"its tokens lose {manifest.lost:.2%} of the text, more than [prepare] max_lost"
    ]
    before = (tmp_path / "datasets" / "meta.json").read_bytes()
    with pytest.raises(DataError, match=r"more than \[prepare\] max_lost = 0: take another tokenizer"):
        prepare_texts(files, strict)
    assert (tmp_path / "datasets" / "meta.json").read_bytes() == before


def dropping() -> Tokenizer:
    """Without a token for the unknown, this kind leaves characters out."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=100))
    return tokenizer


def whole_words() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "Gott": 1, "sagt": 2, ",": 3, ".": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def with_pieces() -> Tokenizer:
    return Tokenizer(models.Unigram([("<unk>", 0.0), *((each, -1.0) for each in sorted(set(TEXT)))], 0, False))


@pytest.mark.parametrize("make", [by_metaspace, dropping, whole_words, with_pieces])
def test_characters_without_a_token_are_found_in_every_kind(make: Callable[[], Tokenizer]) -> None:
    fast = FastTokenizer(make().to_str(), end_token=None)
    assert fast.lost(UNKNOWN, fast.encode(UNKNOWN)) == {"☃": 2, "🦊": 1}
    assert not fast.lost("Gott sagt, .", fast.encode("Gott sagt, ."))


def test_a_prompt_with_a_character_without_a_token_is_refused() -> None:
    tokenizer = with_pieces()
    tokenizer.add_special_tokens(["<|end|>"])
    fast = FastTokenizer(tokenizer.to_str(), end_token="<|end|>")
    assert fast.encode_prompt("Gott<|end|>").tolist()[-1] == fast.end_id
    with pytest.raises(PromptError, match="no token for '☃'"):
        fast.encode_prompt("Gott<|end|>☃")


@pytest.mark.parametrize("make", [by_bytes, by_sentencepiece])
def test_bytes_lose_nothing(make: Callable[[], Tokenizer]) -> None:
    fast = FastTokenizer(make().to_str(), end_token=None)
    assert not fast.lost(UNKNOWN, fast.encode(UNKNOWN))


@pytest.mark.parametrize(
    ("config", "generation"),
    [('{"eos_token_id": [300, 5]}', "{}"), ("{}", '{"eos_token_id": [300, 5, 99999, "x", true]}'),
     ('{"text_config": {"eos_token_id": 300}}', '{"eos_token_id": 5}')],
)  # fmt: skip
def test_several_tokens_may_end_a_text(tmp_path: Path, config: str, generation: str) -> None:
    source = folder_with(by_bytes(), tmp_path / "model", "{}")
    (tmp_path / "model" / "config.json").write_text(config)
    (tmp_path / "model" / "generation_config.json").write_text(generation)
    tokenizer = tokenizer_of_model(source, packing="started")
    assert tokenizer.start_id == 300
    assert {300, 5} <= tokenizer.end_ids() <= {300, 5, 1}
    assert load_tokenizer(json.loads(json.dumps(tokenizer.describe()))).end_ids() == tokenizer.end_ids()
    named = folder_with(by_bytes(), tmp_path / "model", '{"eos_token": "<s>"}')
    assert tokenizer_of_model(named, packing="started").end_ids() >= {300, 5}


def test_names_at_the_hub_are_compared_whole(tmp_path: Path) -> None:
    """Where data was prepared for a model of one author, that of another is not the same."""
    ours, other = (settings_of(config_for(tmp_path, name)) for name in ("a/m", "b/m"))
    assert ours["tokenizer.model"] == "a/m"
    assert ours != other
    moved = settings_of(config_for(tmp_path, str(tmp_path / "elsewhere" / "m")))
    assert moved["tokenizer.model"] == "m"


def test_data_is_stale_once_the_tokenizer_has_changed(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text(TEXT)
    source = folder_with(by_bytes(), tmp_path / "model")
    config = config_for(tmp_path, source)
    manifest = prepare_texts([tmp_path / "raw" / "a.txt"], config)
    assert differences(manifest, config) == []
    folder_with(by_sentencepiece(), tmp_path / "model")
    assert differences(manifest, config) == ["the tokenizer in ../model has changed"]
    assert prepare_texts([tmp_path / "raw" / "a.txt"], config) == read_manifest(config.dataset_dir) != manifest


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no folder 'no/such/thing'"):
        tokenizer_of_model("no/such/thing", packing="running")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"tokenizer\.json is missing"):
        tokenizer_of_model(str(tmp_path / "empty"), packing="running")
    nameless = folder_with(by_bytes(), tmp_path / "nameless", "{}")
    with pytest.raises(DataError, match=r'no token for the end of a text.*source = "text"'):
        tokenizer_of_model(nameless, packing="started")
    assert tokenizer_of_model(nameless, packing="running").start_id is None
    (tmp_path / "nameless" / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match=r"tokenizer\.json is damaged"):
        tokenizer_of_model(nameless, packing="running")


@pytest.mark.parametrize(
    ("name", "text"),
    [("tokenizer_config.json", "{"), ("tokenizer.json", "{"), ("tokenizer.json", "\udcff"), ("tokenizer.json", "{}")],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, text: str) -> None:
    source = folder_with(by_bytes(), tmp_path / "model")
    (tmp_path / "model" / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=name):
        tokenizer_of_model(source, packing="started")


@pytest.mark.parametrize("about", ["[]", '{"eos_token": 5}', '{"eos_token": {"x": 1}}', "{}"])
def test_the_end_of_a_text_is_found_elsewhere_too(tmp_path: Path, about: str) -> None:
    source = folder_with(by_bytes(), tmp_path / "model", about)
    (tmp_path / "model" / "config.json").write_text('{"eos_token_id": 300}')
    tokenizer = tokenizer_of_model(source, packing="started")
    assert tokenizer.start_id == 300


def test_a_changed_end_of_text_makes_data_stale(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text(TEXT)
    tokenizer = by_bytes()
    tokenizer.add_special_tokens([AddedToken("<t>", special=True)])
    source = folder_with(tokenizer, tmp_path / "model")
    config = config_for(tmp_path, source, kind="lines")
    manifest = prepare_texts([tmp_path / "raw" / "a.txt"], config)
    folder_with(tokenizer, tmp_path / "model", '{"eos_token": "<t>"}')
    assert differences(manifest, config) == ["the tokenizer in ../model has changed"]


def test_nothing_is_cut_off_or_filled_up(tmp_path: Path) -> None:
    tokenizer = by_bytes()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=7)
    fast = tokenizer_of_model(folder_with(tokenizer, tmp_path / "model"), packing="running")
    assert fast.decode(fast.encode(TEXT).tolist()) == TEXT
    assert fast.decode(fast.encode("a").tolist()) == "a"


def test_only_patterns_are_trusted_to_cut_words(tmp_path: Path) -> None:
    for pre in (pre_tokenizers.ByteLevel(False, use_regex=False), pre_tokenizers.ByteLevel(add_prefix_space=True)):
        tokenizer = by_bytes()
        tokenizer.pre_tokenizer = pre
        fast = tokenizer_of_model(folder_with(tokenizer, tmp_path / "model"), packing="running")
        assert list(fast.safe_chunks(["a b", "c d"])) == ["a bc d"]


def test_bytes_are_those_of_the_text_where_tokens_stand_for_more(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text(TEXT)
    tokenizer = by_sentencepiece()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    config = config_for(tmp_path, folder_with(tokenizer, tmp_path / "model"))
    manifest = prepare_texts([tmp_path / "raw" / "a.txt"], config)
    assert manifest.train.bytes + manifest.val.bytes == len(TEXT.encode())


@pytest.mark.parametrize("start_token", [False, True])
def test_single_characters_become_ours_again(tmp_path: Path, *, start_token: bool) -> None:
    ours = CharTokenizer.of_text([TEXT], start_token=start_token)
    about = json.dumps({"eos_token": "<|endoftext|>"} if start_token else {})
    source = folder_with(ours.to_fast(), tmp_path / "model", about)
    assert tokenizer_of_model(source, packing="started" if start_token else "running").describe() == ours.describe()


def test_a_character_that_it_lacks_is_a_mistake_of_the_prompt() -> None:
    words = Tokenizer(models.WordLevel({"a": 0}))
    with pytest.raises(PromptError, match="cannot take this text"):
        FastTokenizer(words.to_str(), end_token=None).encode("b")


def test_a_bug_of_the_caller_is_not_taken_for_a_mistake_of_the_prompt() -> None:
    words = Tokenizer(models.WordLevel({"a": 0}))
    with pytest.raises(TypeError):
        FastTokenizer(words.to_str(), end_token=None).encode(None)  # type: ignore[arg-type]  # which is the bug
    with pytest.raises(TypeError):
        library_of(None)  # type: ignore[arg-type]  # which is the bug
