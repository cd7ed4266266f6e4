import subprocess
import sys
from pathlib import Path

import pytest

from ml_playground.cli import main


def test_windows_is_pointed_to_wsl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("ml_playground.cli.sys.platform", "win32")
    assert main(["list"]) == 2
    assert "use it in WSL" in capsys.readouterr().err


def test_the_command_line_can_say_so_where_unix_modules_are_missing() -> None:
    without = "import sys; sys.modules.update(fcntl=None, resource=None); import ml_playground.cli"
    subprocess.run([sys.executable, "-c", without], check=True)


def test_paths_are_shown_as_one_would_type_them_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    inside, outside = tmp_path / "a" / "x.toml", Path(f"/elsewhere{tmp_path}/x.toml")
    for path in (inside, outside):
        assert main(["train", "phrases", "--exp-config", str(path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["a/x.toml", str(outside)]
