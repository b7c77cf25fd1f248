"""What workers tell of their links, joined as one document."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline import limits
from pipeline.config import resolve
from pipeline.telemetry.link_files import links_folder, packed_links


def test_they_are_in_the_data_folder_or_where_the_configuration_says() -> None:
    assert links_folder(resolve({"data_dir": "/x"})) == Path("/x/run/links")
    assert links_folder(resolve({"telemetry": {"links_directory": "/x/links"}})) == Path("/x/links")


def test_each_is_told_as_it_is_by_name_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    assert json.loads(packed_links(tmp_path / "missing")) == {"reports": []}
    (tmp_path / "b.json").write_text('{"name": "b", "new": {"field": 1.50}}')
    (tmp_path / "a.json").write_text('{"name": "a"}')
    (tmp_path / ".a.json.draft").write_text("{")
    (tmp_path / "half.json").write_text('{"name"')
    (tmp_path / "large.json").write_text(json.dumps(" " * limits.MAX_LINK_REPORT_BYTES))
    (tmp_path / "folder.json").mkdir()
    assert packed_links(tmp_path) == b'{"reports":[{"name": "a"},{"name": "b", "new": {"field": 1.50}}]}'


def test_there_are_no_more_than_a_pod_can_have(tmp_path: Path) -> None:
    for number in range(limits.MAX_LINK_REPORTS + 1):
        (tmp_path / f"agent-{number:03}.json").write_text("{}")
    assert len(json.loads(packed_links(tmp_path))["reports"]) == limits.MAX_LINK_REPORTS
