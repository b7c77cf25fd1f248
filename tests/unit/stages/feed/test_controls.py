"""Whether this server can send controls at all, and as whom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pipeline.clock import FakeClock
from pipeline.config import resolve
from pipeline.stages.feed.controls import Controls


def why_not(tmp_path: Path, **sources: Any) -> str:
    config = resolve({"data_dir": str(tmp_path), "sources": sources})
    return asyncio.run(Controls(config, FakeClock()).why_not())


def test_a_secret_that_is_not_here_is_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "desk"
    desk = {"secret_files": [str(file)]}
    assert str(file) in why_not(tmp_path, desk=desk)
    file.write_text("whsec_" + "cGFnZQ" * 6)
    assert why_not(tmp_path, desk=desk) == ""


def test_sources_that_may_send_none_or_cannot_be_signed_for_are_the_reason(tmp_path: Path) -> None:
    said = why_not(tmp_path, bars={"accepts": ["candle"]}, hub={"profile": "github"})
    assert said == "sources: none has profile = standard and control among what it accepts"
