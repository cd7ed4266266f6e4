"""How texts become the tokens of a run: where a prompt ends, and which texts a run can take."""

import json
import math

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from ml_playground.analysis.examples import validation_examples
from ml_playground.analysis.lit.turns import Turns
from ml_playground.analysis.scores import score_ids
from ml_playground.cli import main
from ml_playground.commands.lit.page import build
from ml_playground.config.load import load_config
from ml_playground.data.store import open_dataset
from ml_playground.errors import PlaygroundError
from ml_playground.inference.generate import prefill
from tests.integration.finetuning import fine_tuning
from tests.lit.conftest import trained
from tests.lit.shown import Row, Shown, changed
from tests.lit.test_models import RUNTIME, model_of
from tests.project import Project


def attention(shown: Shown, row: object, target: str) -> Row:
    (found,) = shown.ask(
        "get_interpretations",
        {"inputs": [row], "config": {"target_text": [target]}},
        model="tiny",
        dataset_name="validation",
        interpreter="sequence_salience",
    )
    said: Row = found
    return said


@pytest.mark.parametrize(
    ("prompt", "target"),
    [
        ("the cat sits in the ", "barn"),  # " barn" is one token
        ("the cat sits in the b", "arn\nthe dog"),
        ("the cat sits in the", " barn"),
        ("the cat sits in the barn", ""),
    ],
)
def test_what_follows_is_predicted_from_the_prompt_alone(words: Shown, prompt: str, target: str) -> None:
    trained, row = model_of(words), changed(words.rows()[0], prompt=prompt, target=target)
    alone = trained.tokenizer.encode(prompt).tolist()
    logits = prefill(trained.model, alone, RUNTIME).logits[0].softmax(-1)
    (said,) = words.predictions("tiny", [row], "GeneratedTextCandidates,GeneratedText")
    assert [math.exp(score) for _, score in said["next_token"]] == pytest.approx(logits.topk(10).values.tolist())
    other = changed(row, target=" and the fox")
    (same,) = words.predictions("tiny", [other], "GeneratedTextCandidates,GeneratedText")
    assert same["next_token"] == said["next_token"]
    shorter, longer = sorted((said["response"], same["response"]), key=len)
    assert longer.startswith(shorter)


@pytest.mark.parametrize(
    ("prompt", "target", "inside", "outside"),
    [
        ("the cat sits in the ", "barn", "the cat sits in the", [" barn"]),
        ("the cat sits in the", " barn\n", "the cat sits in the", [" barn", "\n"]),
        ("the cat si", "ts in", "the cat", [" sits", " in"]),
    ],
)
def test_a_token_that_spans_the_border_belongs_to_the_target(
    words: Shown, prompt: str, target: str, inside: str, outside: list[str]
) -> None:
    row = changed(words.rows()[0], prompt=prompt, target=target)
    said = attention(words, row, target)["layer 1"]
    assert "".join(said["tokens_in"]) == inside
    assert said["tokens_out"] == outside
    assert np.array(said["salience"]).shape == (len(outside), len(said["tokens_in"]) + len(outside))


@pytest.mark.parametrize(("prompt", "target"), [("", ""), ("the cat", ""), ("the cat sits in the barn\n" * 4, " and")])
def test_without_a_token_to_explain_attention_has_no_matrices(words: Shown, prompt: str, target: str) -> None:
    row = changed(words.rows()[0], prompt=prompt, target=target)
    assert attention(words, row, target) == {}
    (said,) = words.predictions("tiny", [row], "Scalar,GeneratedText,GeneratedTextCandidates,Embeddings")
    assert bool(said["response"]) is bool(prompt)
    words.predictions("_tiny_salience", [row], "TokenScores,Tokens")


def test_nothing_predicts_the_first_token_of_a_running_text(words: Shown) -> None:
    row = changed(words.rows()[0], prompt="", target="the cat sits")
    said = attention(words, row, "the cat sits")["layer 1 head 1"]
    assert said["tokens_in"] == []
    assert said["tokens_out"] == ["the", " cat", " sits"]
    assert said["salience"][0] == [0, 0, 0]
    assert said["salience"][1] == [1, 0, 0]
    assert sum(said["salience"][2]) == pytest.approx(1, abs=1e-3)


def test_windows_of_running_text_have_the_tokens_of_the_data_and_are_cut_between_words(words: Shown) -> None:
    trained, rows = model_of(words), words.rows()
    dataset = open_dataset(words.config.train.data.dataset_dir, words.config.prepare)
    examples = validation_examples(dataset, 100, trained.model.block_size)
    assert len(rows) == len(examples) > 3
    inputs = [row["id"] for row in rows]
    said = words.predictions("tiny", inputs, "Scalar")
    tokens = words.predictions("_tiny_tokenizer", inputs, "Tokens")
    for example, row, numbers, shown in zip(examples, rows, said, tokens, strict=True):
        prompt, target = row["data"]["prompt"], row["data"]["target"]
        assert prompt + target == example.text == "".join(shown["tokens"])
        assert prompt
        assert target.startswith((" ", "\n", "the"))
        assert numbers["nats_per_token"] == pytest.approx(score_ids(trained.model, example.ids, RUNTIME).loss, rel=1e-6)


def test_a_text_with_characters_that_a_run_lacks_is_left_out(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.configure({"prepare.source": '"lines"', "prepare.split.val_fraction": "0.4", "lit.examples": "200"})
    trained(project)
    lines = project.text.read_text().splitlines()
    project.text.write_text("\n".join(f"é {line}" if place % 3 else line for place, line in enumerate(lines)))
    project.configure({"train.runtime.out_dir": '"tiny/out/other"'})
    trained(project)
    capsys.readouterr()
    shown = Shown(project, [project.folder / "out"])
    rows = shown.rows()
    assert rows
    assert not any("é" in row["data"]["prompt"] + row["data"]["target"] for row in rows)
    dataset = open_dataset(shown.config.train.data.dataset_dir, shown.config.prepare)
    total = len(validation_examples(dataset, 200, 8))
    assert len(rows) < total
    assert f"! {total - len(rows)} of {total} texts of the validation split are left out" in capsys.readouterr().err
    for run in ("tiny", "other"):
        assert len(shown.predictions(run, [row["id"] for row in rows], "Scalar")) == len(rows)
    project.text.write_text("".join(f"é{first}{last}\n" for first in "aeinortu" for last in "aeinortu"))
    assert main(["prepare", str(project.folder)]) == 0
    with pytest.raises(PlaygroundError, match="Show them one at a time"):
        build(load_config(project.config, name="tiny", folder=project.folder), [project.folder / "out"], 0, Turns())


def test_a_text_of_which_preparing_lost_a_character_is_shown_as_it_was_prepared(project: Project) -> None:
    fine_tuning(project, "qwen2")
    names = [first + last for first in "ABCDEFGH" for last in "abcdefgh"]
    rows = [f"2022-12-01,False,False,SPD,{name},Straße {name}" for name in names]
    text = "\n".join(["Date,Chair,Interjection,Party,Speaker,Speech", *rows])
    (project.folder / "raw" / "speeches.csv").write_text(text, encoding="utf-8")
    known = sorted({*text, "\n"} - {"ß"})
    library = Tokenizer(
        models.WordLevel({name: token for token, name in enumerate(["<unk>", *known])}, unk_token="<unk>")
    )
    library.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    library.decoder = decoders.Fuse()
    library.add_special_tokens(["<|endoftext|>"])
    library.save(str(project.root / "base" / "tokenizer.json"))
    about = project.root / "base" / "tokenizer_config.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "unk_token": "<unk>"}))
    project.configure(
        {"prepare.max_lost": "0.1", "train.hf_model.block_size": "64", "prepare.split.val_fraction": "0.4"}
    )
    shown = Shown(trained(project))
    lossy = [row for row in shown.rows() if "ß" in row["data"]["prompt"] + row["data"]["target"]]
    assert lossy
    for said in shown.predictions("tiny", [row["id"] for row in lossy], "Scalar"):
        assert said["nats_per_token"] > 0
    answer = shown.send(
        "get_preds",
        {"inputs": [changed(lossy[0], prompt="Straße")]},
        model="tiny",
        dataset_name="validation",
        requested_types="Scalar",
    )
    assert answer.status_code == 400
