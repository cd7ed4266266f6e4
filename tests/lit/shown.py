"""Runs behind LIT's server, asked as its page asks it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from werkzeug.test import Client, TestResponse

from ml_playground.analysis.lit.turns import Turns
from ml_playground.commands.lit.page import build
from ml_playground.config.load import load_config
from tests.project import Project

ADDRESS = "http://127.0.0.1:5432"
Row = dict[str, Any]


class Shown:
    """What `lit` shows of a project."""

    def __init__(self, project: Project, runs: Sequence[Path] = ()) -> None:
        self.project = project
        self.config = load_config(project.config, name="tiny", folder=project.folder)
        self.http = Client(build(self.config, runs, 5432, Turns()))
        self.info: Row = self.ask("get_info")

    def send(self, name: str, body: object = None, /, **parameters: str) -> TestResponse:
        return self.http.post(f"/{name}", base_url=ADDRESS, query_string=parameters, data=json.dumps(body or {}))

    def ask(self, name: str, body: object = None, /, **parameters: str) -> Any:
        answer = self.send(name, body, **parameters)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text, parse_constant=not_json)

    def rows(self, dataset: str = "validation") -> list[Row]:
        found: list[Row] = self.ask("get_dataset", dataset_name=dataset)
        return found

    def predictions(self, model: str, rows: Sequence[object], types: str, dataset: str = "validation") -> list[Row]:
        body = {"inputs": list(rows)}
        found: list[Row] = self.ask("get_preds", body, model=model, dataset_name=dataset, requested_types=types)
        return found


def changed(row: Row, **values: object) -> Row:
    """A row as the page sends it where it was changed: without an id of its own."""
    return {"data": {**row["data"], **values, "_id": ""}, "id": "", "meta": {"added": True}}


def not_json(name: str) -> None:
    """NaN and infinities are not JSON, and the page could not read them."""
    raise ValueError(name)
