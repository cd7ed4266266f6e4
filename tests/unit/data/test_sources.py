import hashlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ml_playground.data.download import TINY_SHAKESPEARE, Download, fetch
from ml_playground.errors import DataError
from tests.project import texts_in

CONTENT = b"a small text\n"


class Server(ThreadingHTTPServer):
    """Serves `CONTENT`, cutting the first `failures` answers short."""

    def __init__(self, failures: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures = failures
        self.requests = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: 3 if self.server.requests <= self.server.failures else None])

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The test's output is no place for a log."""


@contextmanager
def serving(failures: int = 0) -> Generator[Server]:
    with Server(failures) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def download_from(server: Server, content: bytes = CONTENT) -> Download:
    address = f"http://127.0.0.1:{server.server_port}/a.txt"
    return Download("texts/a.txt", address, hashlib.sha256(content).hexdigest())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    if "real_data" not in request.fixturenames:
        monkeypatch.setenv("ML_PLAYGROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # the pause between two attempts
    return tmp_path / "cache"


def test_a_download_lands_in_the_cache_folder_and_is_not_repeated(cache: Path) -> None:
    with serving() as server:
        assert fetch(download_from(server)) == cache / "texts" / "a.txt"
        fetch(download_from(server))
        assert server.requests == 1
    assert (cache / "texts" / "a.txt").read_bytes() == CONTENT


def test_a_broken_download_is_tried_again_and_leaves_nothing_half(cache: Path) -> None:
    with serving(failures=1) as server:
        assert fetch(download_from(server)).read_bytes() == CONTENT
        assert server.requests == 2
    assert [path.name for path in (cache / "texts").iterdir()] == ["a.txt"]


def test_a_file_that_the_user_put_there_is_used_without_any_network(cache: Path) -> None:
    (cache / "texts").mkdir(parents=True)
    (cache / "texts" / "a.txt").write_bytes(CONTENT)
    unreachable = Download("texts/a.txt", "http://127.0.0.1:9/a.txt", hashlib.sha256(CONTENT).hexdigest())
    assert fetch(unreachable).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_replaced(cache: Path) -> None:
    (cache / "texts").mkdir(parents=True)
    (cache / "texts" / "a.txt").write_bytes(b"a small")
    with serving() as server:
        assert fetch(download_from(server)).read_bytes() == CONTENT


def test_a_download_with_another_hash_is_refused(cache: Path) -> None:
    with serving() as server, pytest.raises(DataError, match=r"could not be downloaded \(ValueError\)"):
        fetch(download_from(server, b"what was expected"))
    assert not (cache / "texts" / "a.txt").exists()


def test_no_network_says_where_to_put_the_file(cache: Path) -> None:
    expected = f"by other means to {cache / 'texts' / 'a.txt'} .*or set ML_PLAYGROUND_CACHE"
    with pytest.raises(DataError, match=expected):
        fetch(Download("texts/a.txt", "http://127.0.0.1:9/a.txt", "0" * 64))


def test_tiny_shakespeare_is_found_in_a_folder_that_has_it(real_data: Path) -> None:
    assert fetch(TINY_SHAKESPEARE) == real_data / "tinyshakespeare" / "input.txt"


def test_all_texts_below_a_folder_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.txt", "sub/c.txt", "a.txt", "sub/deeper/d.txt", "e.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    names = [path.relative_to(tmp_path).as_posix() for path in texts_in(tmp_path)]
    assert names == ["a.txt", "b.txt", "sub/c.txt", "sub/deeper/d.txt"]
    assert texts_in(tmp_path / "e.md") == [tmp_path / "e.md"]


def test_no_text_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no text in {tmp_path / 'raw'}. Put your text there"):
        texts_in(tmp_path / "raw")


def test_texts_are_found_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    for name in ("b.txt", "a.TXT", "c.md"):
        (tmp_path / name).touch()
    assert [path.name for path in texts_in(tmp_path)] == ["a.TXT", "b.txt"]
