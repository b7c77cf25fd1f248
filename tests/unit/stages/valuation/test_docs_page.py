from __future__ import annotations

from pathlib import Path

from pipeline.bench.valuation_server import Client, running_valuation
from pipeline.config import Config
from pipeline.stages.valuation.docs_page import PATHS


def test_the_page_and_its_files_come_from_here(tmp_path: Path) -> None:
    with running_valuation(Config(), tmp_path) as server:
        client = Client(server.port)
        answers = {path: client.ask("GET", path) for path in PATHS}
        client.close()
    assert {status for status, _ in answers.values()} == {200}
    assert b"//" not in answers["/docs"][1].replace(b"<!DOCTYPE html>", b"").split(b"const ui")[0]
    assert len(answers["/docs/swagger-ui-bundle.js"][1]) > 500_000
