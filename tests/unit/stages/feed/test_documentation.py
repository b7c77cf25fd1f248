"""docs/feed.md shows the messages, codes and parameters that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline import limits
from pipeline.config.feed import Feed
from pipeline.stages.feed import frames
from pipeline.stages.feed.manifest import Manifest
from pipeline.stages.feed.wanted import FEED, PAGE

TEXT = (Path(__file__).parents[4] / "docs" / "feed.md").read_text()
BLOCKS = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
SHOWN: dict[str, dict[str, Any]] = {
    message["type"]: message for message in map(json.loads, BLOCKS[0].strip().splitlines())
}


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("hello", frames.Hello),
        ("heartbeat", frames.Heartbeat),
        ("time", frames.Time),
        ("manifest", frames.Ended),
    ],
)
def test_every_message_is_shown_as_it_is(kind: str, shape: type[msgspec.Struct]) -> None:
    made = msgspec.json.encode(msgspec.convert(SHOWN[kind], shape))
    assert json.loads(made) == SHOWN[kind]
    assert list(json.loads(made)) == list(SHOWN[kind])


def test_the_manifest_is_shown_with_all_its_fields() -> None:
    assert tuple(SHOWN["manifest"]["manifest"]) == Manifest.__struct_fields__


def test_what_a_client_says_is_understood() -> None:
    said = [frames.said({"text": text}) for text in BLOCKS[1].strip().splitlines()]
    assert [type(one) for one in said] == [frames.Ask, frames.Bye]


def test_every_code_parameter_and_key_is_named() -> None:
    for code in (frames.LEAVING, frames.PRUNED, frames.UNREADABLE, frames.BAD_MESSAGE):
        assert f"| {code} |" in TEXT
    for name in (*PAGE, *FEED):
        assert f"`{name}`" in TEXT or f"`{name}=" in TEXT, name
    for key in set(re.findall(r"feed\.([a-z_]+)", TEXT)) - {"md", "controls"}:  # the latter is the chart's
        assert key in Feed.__struct_fields__, key
    assert f"newest {limits.FEED_TAIL_ROWS:,} rows" in TEXT
    assert f"looks at {limits.MAX_SCAN_ROWS:,} rows" in TEXT
    assert f"newest {limits.MAX_FEED_MANIFESTS:,} are kept" in TEXT


def test_the_example_compiles() -> None:
    compile(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0], "feed.md", "exec")


def test_how_many_may_look_is_told() -> None:
    assert f"At most {limits.MAX_VIEWERS} viewers are served" in TEXT
