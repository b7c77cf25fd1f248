from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from valuation_desk import Served, serve_here


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The application on an engine in memory, with a clock that is moved by hand."""
    with serve_here(tmp_path) as found:
        yield found
