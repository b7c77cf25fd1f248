"""The page for developers and the example script do what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/telemetry.md").read_text(), re.DOTALL)


def ran(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_of_the_page_runs(number: int) -> None:
    ran("-W", "error", "-c", BLOCKS[number])


def test_the_page_has_its_blocks() -> None:
    assert len(BLOCKS) == 4


def test_the_example_measures_and_reports() -> None:
    out = ran("-W", "error", str(ROOT / "examples/telemetry.py"))
    for expected in (
        "checkout              200 calls",
        "CANDLE_PROCESSING     200 calls",
        "handled: 200 backlog: 0",
    ):
        assert expected in out
