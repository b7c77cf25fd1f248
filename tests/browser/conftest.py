"""The system's Chromium, driven by Playwright's Python package; skipped, with the reason, without either."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Of a module, and not of the whole session: its driver keeps an event loop running while it lives, which
    tests of other modules in the same process could not start theirs beside."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    program = os.environ.get("RINGLINE_TEST_CHROMIUM")
    if not program:
        pytest.skip("RINGLINE_TEST_CHROMIUM names no Chromium: `make test-browser` does")
    with driver.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Keeps a picture where RINGLINE_SCREENSHOTS names a folder, for eyes."""

    def take(page: Any, name: str) -> None:
        if folder := os.environ.get("RINGLINE_SCREENSHOTS"):
            page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)

    return take
