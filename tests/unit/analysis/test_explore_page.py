"""What the page of an exploration holds: numbers, packed, and nothing from elsewhere."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ml_playground.analysis.explore_page import as_html, packed
from tests.unit.analysis.explored import made_up

LETTERS = list("abcdefghijklmnopqrstuvwxyz \n")


def unpacked(value: dict[str, Any]) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(value["data"]), f"<{value['type']}").reshape(value["shape"])


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="explore">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[0.0, 1.4, 255.2]], "u1"),
        ([-1, 3], "i2"),
        ([0, 256], "i2"),
        ([0, 40_000], "u2"),
        ([-40_000], "i4"),
        ([70_000], "i4"),
        ([], "u1"),
    ],
)
def test_numbers_take_as_few_bytes_as_they_need(values: list[Any], kind: str) -> None:
    made = packed(np.array(values, dtype=np.float64))
    assert made["type"] == kind
    np.testing.assert_array_equal(unpacked(made), np.rint(np.array(values)))


def test_what_is_no_number_is_a_large_one() -> None:
    most = 2**31 - 1
    assert unpacked(packed(np.array([np.nan, np.inf, -np.inf, 1e30, -1e30]))).tolist() == [
        most,
        most,
        -most,
        most,
        -most,
    ]


def test_the_page_has_what_was_measured() -> None:
    made = made_up(LETTERS, passages=2, without_attention=1)
    data = data_of(as_html(made))
    for passage, shown in zip(made.passages, data["passages"], strict=True):
        texts = [data["names"][number] for number in unpacked(shown["ids"])]
        assert texts == [made.texts[token] for token in passage.passage.ids]
        assert f"{passage.scores.loss:.4f}" in shown["title"]
        np.testing.assert_allclose(unpacked(shown["bits"]) / 1000, passage.scores.nats / np.log(2), atol=5.1e-4)
        np.testing.assert_allclose(unpacked(shown["own"]) / 65535, np.exp(-passage.scores.nats), atol=1e-5)
        np.testing.assert_allclose(unpacked(shown["effects"]) / 1000, passage.effects / np.log(2), atol=5.1e-4)
        np.testing.assert_array_equal(unpacked(shown["ranks"]), passage.scores.ranks)
        top = np.vectorize(lambda number: data["names"][number])(unpacked(shown["top"]["ids"]))
        assert top.tolist() == [[made.texts[token] for token in row] for row in passage.scores.top_ids.tolist()]
        assert passage.attended is not None
        assert passage.readings is not None
        assert unpacked(shown["attended"]["layers"]).tolist() == passage.attended.layers == [2, 3]
        np.testing.assert_array_equal(unpacked(shown["attended"]["places"]), passage.attended.places)
        np.testing.assert_allclose(unpacked(shown["attended"]["weights"]) / 255, passage.attended.weights, atol=2e-3)
        np.testing.assert_allclose(
            unpacked(shown["readings"]["bits"]) / 1000, passage.readings.nats / np.log(2), atol=6e-4
        )


def test_two_thousand_tokens_of_a_model_with_six_layers_of_six_heads_can_be_mailed() -> None:
    words = [f"word{number} " for number in range(50_000)]
    html = as_html(made_up(words, passages=8, tokens=251, layers=6, heads=6, reach=64))
    assert len(html.encode()) < 5 * 10**6


def test_what_cannot_be_shown_is_left_out_with_the_reason() -> None:
    made = made_up(LETTERS)
    bare = replace(made.passages[0], attended=None, readings=None)
    html = as_html(replace(made, passages=[bare], heads=[], missing=["its layers cannot be read"]))
    assert "Not shown: its layers cannot be read" in html
    assert "What the heads attend to" not in html
    assert data_of(html)["passages"][0]["attended"] is None


def test_texts_are_no_markup() -> None:
    hostile = "</script><script>alert(1)</script>\x00\udcff"
    html = as_html(made_up([hostile, "b"]))
    assert "<script>alert" not in html
    assert data_of(html)["names"][0] == hostile.replace("\x00", "\ufffd").replace("\udcff", "\ufffd")


def test_nothing_comes_from_elsewhere() -> None:
    html = as_html(made_up(LETTERS))
    assert not re.search(r"\b(?:src|href)=(?!\"data:)", html)
    assert "http" not in html.replace("http-equiv", "")
    assert "default-src 'none'" in html


def test_its_policy_allows_its_two_scripts_and_no_other() -> None:
    html = as_html(made_up(LETTERS))
    scripts: list[str] = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(hashes) == 2
    assert f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}';" in html


def test_many_heads_are_folded_away() -> None:
    assert "All 72 heads" in as_html(made_up(LETTERS, layers=6, heads=12))
