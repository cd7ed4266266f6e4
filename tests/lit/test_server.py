"""Who gets an answer, and to what."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ml_playground.cli import main
from tests.lit.shown import ADDRESS, Shown
from tests.project import Project


def test_the_page_has_its_fonts_with_it(shown: Shown) -> None:
    page = shown.http.get("/", base_url=ADDRESS)
    assert page.status_code == 200
    assert "http" not in re.sub(r"fonts\.googleapis\.com", "", page.text).replace("http-equiv", "")
    for name in re.findall(r'(?:src|href)="([^"]+)"|url\("([^"]+)"\)', page.text):
        (path,) = filter(None, name)
        found = shown.http.get(f"/{path}", base_url=ADDRESS)
        assert found.status_code == 200, path
        assert len(found.data) > 1000
    assert shown.http.get("/material-icons.woff2", base_url=ADDRESS).data.startswith(b"wOF2")


@pytest.mark.parametrize("path", ["/", "/main.js", "/get_info", "/nothing"])
def test_every_answer_keeps_other_pages_out(shown: Shown, path: str) -> None:
    answer = shown.http.open(path, base_url=ADDRESS, method="POST" if path == "/get_info" else "GET")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]


@pytest.mark.parametrize("host", ["evil.example:5432", "evil.example", "127.0.0.1:80", "127.0.0.1.evil.example:5432"])
def test_another_name_of_this_machine_gets_nothing(shown: Shown, host: str) -> None:
    for path, method in (("/", "GET"), ("/get_info", "POST")):
        assert shown.http.open(path, method=method, base_url=f"http://{host}").status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:5432", "http://127.0.0.1:5433", "null"])
def test_another_page_gets_nothing(shown: Shown, origin: str) -> None:
    answer = shown.http.post("/get_info", base_url=ADDRESS, headers={"Origin": origin})
    assert answer.status_code == 403


@pytest.mark.parametrize("address", [ADDRESS, "http://localhost:5432"])
def test_the_own_page_gets_answers(shown: Shown, address: str) -> None:
    answer = shown.http.post("/get_info", base_url=address, headers={"Origin": address})
    assert answer.status_code == 200


def test_no_path_of_the_page_is_opened(shown: Shown, tmp_path: Path) -> None:
    target = tmp_path / "saved"
    for name in ("save_datapoints", "load_datapoints"):
        answer = shown.send(name, {"inputs": []}, dataset_name="validation", path=str(target))
        assert answer.status_code == 404
    for name in ("create_dataset", "create_model", "push_ui_state"):
        assert shown.send(name, {"config": {}}, dataset_name="validation").status_code == 404
    assert not list(tmp_path.iterdir())
    for path in ("/../../app.py", "/static/../../../../app.py", "//etc/passwd", "/%2e%2e/app.py", "/page.py"):
        assert shown.http.get(path, base_url=ADDRESS).status_code == 404


def test_nothing_is_written(shown: Shown) -> None:
    before = {path: path.stat().st_mtime_ns for path in shown.project.root.rglob("*")}
    rows = [row["id"] for row in shown.rows()]
    shown.predictions("tiny", rows, "Scalar,GeneratedText,Embeddings")
    assert {path: path.stat().st_mtime_ns for path in shown.project.root.rglob("*")} == before


def test_a_taken_port_is_a_message(characters: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        characters.configure({"lit.port": str(taken.getsockname()[1])})
        assert main(["lit", str(characters.folder)]) == 2
    assert "Set [lit] port to another, or to 0" in capsys.readouterr().err
    characters.configure({"lit.port": "0"})


def test_a_run_that_is_not_trained_is_a_message(characters: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lit", str(characters.folder), str(characters.root / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_it_prints_its_address_answers_and_ends_with_ctrl_c(characters: Project) -> None:
    characters.configure({"lit.port": "0"})
    command = [sys.executable, "-m", "ml_playground.cli", "lit", str(characters.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+/", line)
        assert address is not None, process.stderr.read() if process.stderr else line
        with urllib.request.urlopen(address[0]) as answer:
            assert "<lit-app>" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == ""
