from __future__ import annotations

import json

from some_rows import lone_row

from pipeline.config import Config
from pipeline.stages.feed.worker import renderer
from pipeline.storage.audit.rows import AuditRow


def test_a_row_that_this_version_cannot_read_is_told_as_far_as_it_can() -> None:
    told = json.loads(renderer(Config())(AuditRow(7, b"h" * 32, lone_row("A"))))
    assert (told["seq"], told["key"], told["outcome"]) == (7, "A", "held")
    assert "Error" in told["unreadable"]
