"""The viewer of `ringline bench page` beside a real pipeline: stream and feed are both open."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from real_pipeline import Running, make_config, wait_for

from pipeline.bench.page_viewer import Viewer

pytestmark = pytest.mark.timeout(120)


def test_it_hears_frames_points_and_the_feed(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Running(config), contextlib.closing(Viewer("127.0.0.1", config.feed.port)) as viewer:
        wait_for(lambda: viewer.points.seen >= 3, "points of the stream")
        wait_for(lambda: viewer.messages >= 3, "hello and heartbeats of the feed")
        assert viewer.frames > 0
        assert (viewer.points.missed, viewer.points.doubled) == (0, 0)
