"""The valuation's OpenAPI page in a real browser, without any other host."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.bench.valuation_server import HOST, running_valuation
from pipeline.config import Config

pytestmark = pytest.mark.timeout(240)


def test_it_shows_every_operation_and_asks_nobody_else(browser: Any, tmp_path: Path) -> None:
    with running_valuation(Config(), tmp_path) as server:
        context = browser.new_context()
        page = context.new_page()
        hosts, faults = set(), []
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: faults.append(str(error)))
        try:
            page.goto(f"http://{HOST}:{server.port}/docs")
            page.wait_for_selector(".opblock-summary-path")
            shown = page.locator(".opblock-summary").count()
        finally:
            context.close()
    assert shown == 13
    assert faults == []
    assert hosts == {f"{HOST}:{server.port}"}
