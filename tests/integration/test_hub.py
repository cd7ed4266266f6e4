"""What Hugging Face's hub can answer, asked by its own client of a server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ml_playground.errors import CheckpointError
from ml_playground.utils.hub import fingerprint
from tests.integration.finetuning import fine_tuning
from tests.project import Project

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"  # the form of a real one
ANSWERS = {"gated": (403, "GatedRepo"), "missing": (404, "RepoNotFound"), "other": (404, "RevisionNotFound")}


class Hub(BaseHTTPRequestHandler):
    """Refuses everything, in the way that the name of the model says."""

    seen: list[str | None] = []  # noqa: RUF012 -- of all requests, emptied by the fixture

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        status, code = next((answer for name, answer in ANSWERS.items() if name in self.path), (500, "Trouble"))
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
        """Keep quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str | None]]:
    """The tokens that the hub was shown, one per request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"):
        monkeypatch.setenv(name, "")  # so that what the test sets goes away with it
    Hub.seen.clear()
    yield Hub.seen
    server.shutdown()
    thread.join()
    server.server_close()


def refusal(project: Project, name: str) -> str:
    project.configure({"train.hf_model.model_name": f'"{name}"'})
    outcome = project.run("prepare")
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
    return outcome.err


@pytest.fixture
def asking(project: Project) -> Project:
    return fine_tuning(project, "qwen2")


def test_a_gated_model_says_where_to_agree_and_where_the_token_goes(asking: Project, hub: list[str | None]) -> None:
    said = refusal(asking, "some/gated")
    assert "Accept its terms at https://huggingface.co/some/gated" in said
    assert "into .env, as HF_TOKEN=..." in said
    assert hub == [None] * len(hub) != []


def test_a_token_in_env_is_shown_to_the_hub_and_nowhere_else(asking: Project, hub: list[str | None]) -> None:
    (asking.root / ".env").write_text(f"HUGGINGFACE_HUB_TOKEN={TOKEN}\n")
    said = refusal(asking, "some/gated")
    assert f"Bearer {TOKEN}" in hub
    assert "check that the token in HF_TOKEN, or in .env, belongs to an account that may read it" in said
    assert TOKEN not in said
    asking.configure({"train.hf_model.model_name": '"base"', "train.runtime.max_iters": "2"})
    said = asking.ok("loop").out + asking.ok("describe").out
    files = [path for path in asking.root.rglob("*") if path.is_file() and path.name != ".env"]
    assert TOKEN not in said
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("name", ["base/nothing", "./qwen", "../x/qwen", "~/secret", "/a/b", "my/private/qwen"])
def test_what_is_evidently_a_path_never_leaves_the_machine(asking: Project, hub: list[str | None], name: str) -> None:
    assert "there is no folder " in refusal(asking, name)
    assert hub == []


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN"])
def test_a_token_of_the_environment_comes_first(
    asking: Project, hub: list[str | None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (asking.root / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    monkeypatch.setenv(name, "hf_mine")
    refusal(asking, "some/gated")
    assert set(hub) == {"Bearer hf_mine"}


def test_an_env_file_in_another_encoding_is_named(asking: Project, hub: list[str | None]) -> None:
    (asking.root / ".env").write_bytes("HF_TOKEN=ä".encode("utf-16"))
    assert ".env is not UTF-8 text" in refusal(asking, "some/gated")
    assert hub == []


def test_a_model_that_is_not_there_says_so(asking: Project, hub: list[str | None]) -> None:
    del hub
    said = refusal(asking, "some/missing")
    assert "there is no folder 'some/missing', and no visible model of that name on the Hugging Face Hub" in said
    assert "if the model is private" in said


def test_a_revision_that_is_not_there_says_so(asking: Project, hub: list[str | None]) -> None:
    del hub
    asking.configure({"train.hf_model.revision": '"v9"'})
    assert "some/other has no revision 'v9' on the Hugging Face Hub." in refusal(asking, "some/other")


def test_no_network_says_what_to_do_without(asking: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    said = refusal(asking, "some/model")
    assert "the Hugging Face Hub cannot be reached" in said
    assert "offline, name a folder that holds the model" in said


def test_trouble_at_the_hub_is_told_without_the_token(
    asking: Project, hub: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    said = refusal(asking, "some/unknown")
    assert "some/unknown" in said
    assert TOKEN not in said
    assert f"Bearer {TOKEN}" in hub


def test_a_model_is_told_by_what_it_computes(tmp_path: Path) -> None:
    """So one at the hub is the same as a copy of it, and a new page about it does not make it another."""
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / digest).write_bytes(content)
    snapshot, copy = tmp_path / "snapshots" / "0123abc", tmp_path / "copy"
    for folder, version in ((snapshot, "5.0"), (copy, "5.1")):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(f'{{"model_type": "x", "transformers_version": "{version}"}}')
    (snapshot / "model.safetensors").symlink_to(tmp_path / "blobs" / digest)
    (copy / "model.safetensors").write_bytes(content)
    assert fingerprint(snapshot) == fingerprint(copy)
    (copy / "model.safetensors").write_bytes(b"others")
    assert fingerprint(snapshot) != fingerprint(copy)
    (tmp_path / "blobs" / digest).write_bytes(b"w3ights")
    with pytest.raises(CheckpointError, match=f"{digest} is damaged: .* Delete it to download it again"):
        fingerprint(snapshot)
    (tmp_path / "blobs" / digest).write_bytes(content)
    (copy / "model.safetensors").write_bytes(content)
    (copy / "config.json").write_text('{"model_type": "x", "rope_theta": 5}')
    assert fingerprint(snapshot) != fingerprint(copy)
