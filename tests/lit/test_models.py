"""What each of a run's models says: the numbers of `analysis`."""

import math

import numpy as np
import pytest

from ml_playground.analysis.attention import attention_weights
from ml_playground.analysis.lit import attention as lit_attention
from ml_playground.analysis.lit import models as lit_models
from ml_playground.analysis.lit.models import erasure_reach, forward_flops
from ml_playground.analysis.salience import erasure, gradient_salience
from ml_playground.analysis.scores import score_ids
from ml_playground.analysis.states import pooled_states, token_table
from ml_playground.inference.load import TrainedModel, load_trained
from ml_playground.models.spec import spec_of
from ml_playground.run.directory import RunDirectory
from ml_playground.runtime import resolve
from tests.lit.shown import Row, Shown, changed
from tests.project import Project

RUNTIME = resolve("cpu", "float32")


def model_of(shown: Shown, run: str = "tiny") -> TrainedModel:
    spec = spec_of(shown.config.train, shown.config.file.root)
    trained = load_trained(RunDirectory(shown.project.folder / "out" / run), spec)
    trained.model.eval()
    return trained


def ids_of(trained: TrainedModel, row: Row) -> list[int]:
    text = row["data"]["prompt"] + row["data"]["target"]
    ids: list[int] = trained.tokenizer.encode_prompt(text).tolist()
    start = trained.tokenizer.start_id
    return ([] if start is None else [start]) + ids


def test_a_run_is_measured_as_its_scores_say(shown: Shown) -> None:
    rows = shown.rows()
    assert len(rows) == 12
    for run in ("tiny", "other"):
        trained = model_of(shown, run)
        for row, said in zip(rows, shown.predictions(run, [row["id"] for row in rows], "Scalar"), strict=True):
            scores = score_ids(trained.model, ids_of(trained, row), RUNTIME)
            text = row["data"]["prompt"] + row["data"]["target"]
            nats = float(scores.nats.sum(dtype=np.float64))
            assert said["nats_per_token"] == pytest.approx(nats / len(scores.ids), rel=1e-6)
            assert said["bits_per_byte"] == pytest.approx(nats / math.log(2) / len(text.encode()), rel=1e-6)
            assert said["guessed"] == pytest.approx(scores.right.mean())


def test_the_next_token_is_shown_with_all_probabilities_of_a_small_vocabulary(shown: Shown) -> None:
    trained, rows = model_of(shown), shown.rows()
    labels: list[str] = shown.info["models"]["tiny"]["spec"]["output"]["next_token"]["vocab"]
    assert len(labels) == len(set(labels)) == trained.tokenizer.vocab_size
    assert "␣" in labels
    body = {"inputs": [row["id"] for row in rows]}
    said = shown.ask("get_interpretations", body, model="tiny", dataset_name="validation", interpreter="classification")
    for row, found in zip(rows, said, strict=True):
        prompt = ids_of(trained, changed(row, target=""))
        all_scores = score_ids(trained.model, [*prompt, 0], RUNTIME, top=len(labels))
        likeliest = labels[int(all_scores.top_ids[-1, 0])]
        assert found["next_token"]["predicted_class"] == likeliest
        assert max(found["next_token"]["scores"]) == pytest.approx(float(all_scores.top_probabilities[-1, 0]), rel=1e-5)
        assert sum(found["next_token"]["scores"]) == pytest.approx(1, rel=1e-5)
        assert found["next_token"]["correct"] == (row["data"]["next"] == likeliest)


def test_a_continuation_is_the_same_each_time_and_as_long_as_the_true_one(shown: Shown) -> None:
    rows = [row["id"] for row in shown.rows()]
    first, again = (shown.predictions("tiny", rows, "GeneratedText") for _ in range(2))
    assert first == again
    for row, said in zip(shown.rows(), first, strict=True):
        assert 0 <= len(said["response"]) <= len(row["data"]["target"])
    assert len({said["response"] for said in first}) > 1
    lone = shown.predictions("tiny", [changed(shown.rows()[0])], "GeneratedText")
    assert lone == first[:1]


def test_states_are_pooled_ones(shown: Shown) -> None:
    trained, (row, *_) = model_of(shown), shown.rows()
    (said,) = shown.predictions("tiny", [row["id"]], "Embeddings")
    (expected,) = pooled_states(trained.model, [ids_of(trained, row)], RUNTIME)
    assert said["state"] == pytest.approx(expected, rel=1e-5)


def test_both_hidden_models_have_the_same_tokens(shown: Shown) -> None:
    trained, (row, *_) = model_of(shown), shown.rows()
    (tokens,) = shown.predictions("_tiny_tokenizer", [row["id"]], "Tokens")
    (same,) = shown.predictions("_tiny_salience", [row["id"]], "Tokens")
    assert tokens == same
    assert tokens["tokens"][0] == "<|endoftext|>"
    assert "".join(tokens["tokens"][1:]) == row["data"]["prompt"] + row["data"]["target"]
    assert len(tokens["tokens"]) == len(ids_of(trained, row))


@pytest.mark.parametrize("targets", [[7], [1], [5, 6, 7], [2, 9]])
def test_salience_is_that_of_the_marked_tokens(shown: Shown, targets: list[int]) -> None:
    trained, (row, *_) = model_of(shown), shown.rows()
    ids = ids_of(trained, row)
    marked = changed(row, target_mask=[float(place in targets) for place in range(len(ids))])
    (said,) = shown.predictions("_tiny_salience", [marked], "TokenScores")
    gradient = gradient_salience(trained.model, ids, targets, RUNTIME)
    assert said["grad_l2"] == pytest.approx(gradient.l2, rel=1e-5)
    assert said["grad_dot_input"] == pytest.approx(gradient.dot_input, rel=1e-5)
    assert said["erasure"] == pytest.approx(erasure(trained.model, ids, targets, RUNTIME), rel=1e-4, abs=1e-5)
    bits = score_ids(trained.model, ids, RUNTIME).nats / math.log(2)
    assert said["bits"] == pytest.approx([0.0, *bits.tolist()], rel=1e-5)
    weights = attention_weights(trained.model, ids, RUNTIME)[:, :, [target - 1 for target in targets]]
    for layer, expected in enumerate(weights.mean(axis=(1, 2)), 1):
        assert said[f"attention_layer_{layer}"] == pytest.approx(expected, rel=1e-5)
    assert set(said) == {"grad_l2", "grad_dot_input", "bits", "erasure", "attention_layer_1", "attention_layer_2"}


def test_erasure_that_does_not_reach_all_tokens_says_so(
    characters: Project, monkeypatch: pytest.MonkeyPatch, shown: Shown
) -> None:
    monkeypatch.setattr(lit_models, "ERASURE_FLOPS", 1.0)
    monkeypatch.setattr(lit_attention, "_MOST_WEIGHTS", 1)
    short = Shown(characters, [characters.out])
    trained, (row, *_) = model_of(short), short.rows()
    ids = ids_of(trained, row)
    marked = changed(row, target_mask=[float(place == 15) for place in range(len(ids))])
    (said,) = short.predictions("_tiny_salience", [marked], "TokenScores")
    assert "erasure" not in said
    found = said["erasure_nearest_8"]
    assert found == pytest.approx(erasure(trained.model, ids, [15], RUNTIME, reach=8), rel=1e-4, abs=1e-5)
    assert not any(found[:7])
    assert all(found[7:15])
    (matrices,) = short.ask(
        "get_interpretations",
        {"inputs": [row["id"]], "config": {"target_text": [row["data"]["target"]]}},
        model="tiny",
        dataset_name="validation",
        interpreter="sequence_salience",
    )
    assert list(matrices) == ["layer 1", "layer 2"]  # without the heads
    assert "erasure_nearest_8" not in shown.info["models"]["_tiny_salience"]["spec"]["output"]


def test_erasure_reaches_as_far_as_the_budget(shown: Shown, tuned: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    built_in, adapted = model_of(shown).model, model_of(tuned).model
    assert forward_flops(built_in) == built_in.flops_per_token(32) / 3
    weights = sum(each.numel() for each in adapted.parameters() if each.dim() == 2)
    assert 2 * weights <= forward_flops(adapted) <= 2.5 * weights
    for texts in (1_000, 4_000):
        monkeypatch.setattr(lit_models, "ERASURE_FLOPS", texts * forward_flops(built_in))
        reach = erasure_reach(built_in)
        assert reach * (reach + 16) / 2 <= texts < (reach + 1) * (reach + 17) / 2


def test_without_a_marked_token_there_is_only_what_needs_none(shown: Shown) -> None:
    (row, *_) = shown.rows()
    (said,) = shown.predictions("_tiny_salience", [row["id"]], "TokenScores")
    assert max(said["bits"]) > 0
    assert not any(any(values) for name, values in said.items() if name != "bits")


def test_a_text_is_cut_to_what_the_model_takes(shown: Shown) -> None:
    trained, (row, *_) = model_of(shown), shown.rows()
    long = changed(row, prompt="the cat " * 20, target_mask=[0.0] * 160 + [1.0])
    for model in ("_tiny_tokenizer", "_tiny_salience"):
        (tokens,) = shown.predictions(model, [long], "Tokens")
        assert len(tokens["tokens"]) == trained.model.block_size == 32
    (said,) = shown.predictions("tiny", [long], "Scalar,GeneratedText")
    assert said["response"]


def test_changed_texts_are_computed_anew(shown: Shown) -> None:
    trained, (row, *_) = model_of(shown), shown.rows()
    edited = changed(row, prompt="the dog sits ")
    (said,) = shown.predictions("tiny", [edited], "Scalar")
    nats = score_ids(trained.model, ids_of(trained, edited), RUNTIME).nats
    assert said["nats_per_token"] == pytest.approx(float(nats.mean()), rel=1e-5)


def test_an_empty_text_is_no_error(shown: Shown) -> None:
    empty = changed(shown.rows()[0], prompt="", target="")
    for model, types in (("tiny", "Scalar,GeneratedText,Embeddings"), ("_tiny_salience", "TokenScores,Tokens")):
        shown.predictions(model, [empty], types)


def test_a_character_outside_the_vocabulary_is_a_message(shown: Shown) -> None:
    answer = shown.send(
        "get_preds",
        {"inputs": [changed(shown.rows()[0], prompt="Ж")]},
        model="tiny",
        dataset_name="validation",
        requested_types="Scalar",
    )
    assert answer.status_code == 400
    message, *_ = answer.text.split("\n\nDetails:")  # as the page splits it
    assert "'Ж'" in message
    assert "Traceback" not in answer.text


def test_the_vocabulary_has_the_embeddings_of_the_run(shown: Shown) -> None:
    for run in ("tiny", "other"):
        trained, rows = model_of(shown, run), shown.rows(f"vocabulary of {run}")
        table = token_table(trained.model)
        assert len(rows) == trained.tokenizer.vocab_size
        counts = [row["data"]["count"] for row in rows]
        assert counts == sorted(counts, reverse=True)
        for row in rows:
            expected = table[int(row["data"]["id"])]
            assert row["data"]["embedding"] == pytest.approx(expected, abs=1e-3 * float(abs(table).max()))


def test_a_fine_tuned_model_is_shown_with_its_special_tokens_and_fields(tuned: Shown) -> None:
    trained, rows = model_of(tuned), tuned.rows()
    row = rows[0]
    spec = tuned.info["datasets"]["validation"]["spec"]
    assert {"speaker", "party"} <= set(spec)
    assert spec["party"]["__name__"] == "CategoryLabel"
    ids = ids_of(trained, row)[: trained.model.block_size]
    (said,) = tuned.predictions("tiny", [row["id"]], "Scalar,GeneratedTextCandidates")
    scores = score_ids(trained.model, ids, RUNTIME)
    assert said["nats_per_token"] == pytest.approx(scores.loss, rel=1e-5)
    assert len(said["next_token"]) == 10
    assert [score for _, score in said["next_token"]] == sorted((each[1] for each in said["next_token"]), reverse=True)
    marked = changed(row, target_mask=[0.0] * 5 + [1.0])
    (salience,) = tuned.predictions("_tiny_salience", [marked], "TokenScores")
    gradient = gradient_salience(trained.model, ids, [5], RUNTIME)
    assert salience["grad_l2"] == pytest.approx(gradient.l2, rel=1e-4, abs=1e-6)
    assert any(salience["attention_layer_2"])
    (tokens,) = tuned.predictions("_tiny_tokenizer", [row["id"]], "Tokens")
    assert not any("\ufffd" in token for token in tokens["tokens"])
