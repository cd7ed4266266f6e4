"""What LIT computes of all texts together: metrics, attention, projections, neighbours, changed texts."""

import math

import numpy as np
import pytest

from ml_playground.analysis.attention import attention_weights
from ml_playground.analysis.scores import score_ids
from tests.lit.shown import Row, Shown
from tests.lit.test_models import RUNTIME, ids_of, model_of


def metrics(shown: Shown, rows: list[Row], run: str = "tiny") -> Row:
    body = {"inputs": [row["id"] for row in rows]}
    ((found,),) = shown.ask("get_metrics", body, model=run, dataset_name="validation", metrics="model").values()
    measured: Row = found["metrics"]
    return measured


def test_every_component_fits_each_run(shown: Shown) -> None:
    for run in ("tiny", "other"):
        about = shown.info["models"][run]
        assert {"validation", "vocabulary of tiny", "vocabulary of other"} <= set(about["datasets"])
        assert about["metrics"] == ["model"]
        assert about["generators"] == ["Word Replacer", "Scrambler"]
        assert set(about["interpreters"]) == {"classification", "nearest neighbors", "pca", "sequence_salience"}
        assert {f"_{run}_salience", f"_{run}_tokenizer"} <= set(shown.info["models"])


def test_metrics_are_sums_over_tokens(shown: Shown) -> None:
    trained, rows = model_of(shown), shown.rows()
    assert len({row["data"]["length"] for row in rows}) > 1  # so that a mean of means would differ
    for some in (rows, rows[:3], rows[-1:]):
        scores = [score_ids(trained.model, ids_of(trained, row), RUNTIME) for row in some]
        nats = np.concatenate([each.nats for each in scores]).astype(np.float64)
        size = sum(len((row["data"]["prompt"] + row["data"]["target"]).encode()) for row in some)
        measured = metrics(shown, some)
        assert measured["tokens"] == len(nats)
        assert measured["nats/token"] == pytest.approx(nats.mean(), rel=1e-6)
        assert measured["bits/byte"] == pytest.approx(nats.sum() / math.log(2) / size, rel=1e-6)
        assert measured["guessed"] == pytest.approx(np.concatenate([each.right for each in scores]).mean())


def test_metrics_of_parts_add_up(shown: Shown) -> None:
    rows = shown.rows()
    whole, first, second = (metrics(shown, some) for some in (rows, rows[:4], rows[4:]))
    weighted = first["nats/token"] * first["tokens"] + second["nats/token"] * second["tokens"]
    assert whole["nats/token"] == pytest.approx(weighted / whole["tokens"], rel=1e-9)
    assert metrics(shown, rows, "other")["bits/byte"] != whole["bits/byte"]


def test_a_vocabulary_has_no_metrics(shown: Shown) -> None:
    name = "vocabulary of tiny"
    body = {"inputs": [row["id"] for row in shown.rows(name)]}
    assert shown.ask("get_metrics", body, model="tiny", dataset_name=name, metrics="model") == {"model": []}


def test_attention_is_that_of_the_position_before_each_target(shown: Shown) -> None:
    fields = list(shown.info["interpreters"]["sequence_salience"]["metaSpec"])
    assert fields[:3] == ["layer 1", "layer 1 head 1", "layer 1 head 2"]
    assert len(fields) == 6
    trained, (row, *_) = model_of(shown), shown.rows()
    (said,) = shown.ask(
        "get_interpretations",
        {"inputs": [row["id"]], "config": {"target_text": [row["data"]["target"]]}},
        model="tiny",
        dataset_name="validation",
        interpreter="sequence_salience",
    )
    ids = ids_of(trained, row)
    weights = attention_weights(trained.model, ids, RUNTIME)
    first = 1 + len(row["data"]["prompt"])
    shape = weights[0, 0, first - 1 : -1]
    for field, expected in {
        "layer 1": weights[0].mean(axis=0),
        "layer 2 head 1": weights[1, 0],
        "layer 2 head 2": weights[1, 1],
    }.items():
        assert len(said[field]["tokens_in"]) == first
        assert "".join(said[field]["tokens_out"]) == row["data"]["target"]
        assert np.array(said[field]["salience"]).shape == shape.shape
        np.testing.assert_allclose(said[field]["salience"], expected[first - 1 : -1], atol=1e-4)


def test_another_run_has_only_the_layers_that_it_has(shown: Shown) -> None:
    (row, *_) = shown.rows()
    (said,) = shown.ask(
        "get_interpretations",
        {"inputs": [row["id"]], "config": {"target_text": ["the end"]}},
        model="other",
        dataset_name="validation",
        interpreter="sequence_salience",
    )
    assert list(said) == ["layer 1", "layer 1 head 1", "layer 1 head 2"]
    assert "".join(said["layer 1"]["tokens_out"]) == "the end"


@pytest.mark.parametrize(
    ("dataset", "field", "of_data"), [("validation", "state", False), ("vocabulary of tiny", "embedding", True)]
)
def test_embeddings_are_projected_and_have_neighbours(shown: Shown, dataset: str, field: str, of_data: bool) -> None:
    rows = shown.rows(dataset)
    inputs = [row["id"] for row in rows]
    settings = {"dataset_name": dataset, "model_name": "tiny", "field_name": field, "use_input": of_data}
    points = shown.ask(
        "get_interpretations",
        {"inputs": inputs, "config": {**settings, "proj_kw": {"n_components": 3}}},
        model="tiny",
        dataset_name=dataset,
        interpreter="pca",
    )
    assert np.array([point["z"] for point in points]).shape == (len(rows), 3)
    (found,) = shown.ask(
        "get_interpretations",
        {"inputs": inputs[:1], "config": {"embedding_name": field, "num_neighbors": 4, "use_input": of_data}},
        model="tiny",
        dataset_name=dataset,
        interpreter="nearest neighbors",
    )
    nearest = [each["id"] for each in found["nearest_neighbors"]]
    assert nearest[0] == inputs[0]
    assert len(nearest) == 4


def test_words_are_replaced_and_scrambled(shown: Shown) -> None:
    row = next(row for row in shown.rows() if "the" in row["data"]["prompt"])
    common = {"model": "tiny", "dataset_name": "validation"}
    body = {"inputs": [row["id"]], "config": {"Fields to replace": ["prompt"], "Substitutions": "the -> a"}}
    ((replaced,),) = shown.ask("get_generated", body, generator="Word Replacer", **common)
    assert "the" not in replaced["data"]["prompt"].split()
    body = {"inputs": [row["id"]], "config": {"Fields to scramble": ["prompt"]}}
    ((scrambled,),) = shown.ask("get_generated", body, generator="Scrambler", **common)
    assert sorted(scrambled["data"]["prompt"].split()) == sorted(row["data"]["prompt"].split())


def test_metrics_by_party_are_those_of_its_speeches(tuned: Shown) -> None:
    rows = tuned.rows()
    parties = {row["data"]["party"] for row in rows}
    assert len(parties) > 1
    by_party = {party: metrics(tuned, [row for row in rows if row["data"]["party"] == party]) for party in parties}
    whole = metrics(tuned, rows)
    assert sum(each["tokens"] for each in by_party.values()) == whole["tokens"]
    assert len({each["bits/byte"] for each in by_party.values()}) == len(parties)
