"""One digest for one history: in every process, under every hash seed, on every version of Python.

The digest is written down here, so that whoever runs the tests on another version or machine compares theirs.
`RINGLINE_TEST_PYTHONS` names more interpreters that have our dependencies, separated by colons.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
from pipeline.backtest.engine import Engine
from pipeline.backtest.synthetic import synthetic
from pipeline.config import schema
trading = schema.Trading(throttles=(
    *schema.Trading().throttles,
    schema.Throttle(name="together", per="global", max_trades=9, window_seconds=3600, max_notional="5000000"),
))
for config in (schema.Trading(), trading):
    for policy in ("next_open", "signal_price", "worst_of_bar"):
        engine = Engine(config, schema.Exec(fill_policy=policy, slippage_bps="3"))
        series = {symbol: synthetic(symbol, 700, seed) for seed, symbol in enumerate(("B", "É", "A"))}
        print(engine.run(series).digest)
"""
EXPECTED = """\
33b15f74909f885711c964184bacb57173ad7ba6eff10deba6f6c04786cf236b
7d72d66e8721b136357b4eaf81a9979b036139e7ba009eb5a43322160ff4606e
aafa30201d3f6b1de8551f014e4b5a80a1618af1dace0fd6bea451c7dd63fc08
762717ce526d22180bcee3abf9eefd2cc00eadb9aa17c48ae24265ba3c731dc7
ca6f75715f2b5678dc1fef6e005ceb8647308e5037ded70305518aaf48c20a95
cce9055a12209b9f4880b41320bebe0db8da3f9703d563b488011fbf1b564ac5"""
PYTHONS = [sys.executable, *filter(None, os.environ.get("RINGLINE_TEST_PYTHONS", "").split(":"))]


def digests(python: str, hash_seed: str, rows: str = "") -> str:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "PYTHONDONTWRITEBYTECODE": "1",
        "RINGLINE_BACKTEST": rows,
    }
    done = subprocess.run(
        [python, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("hash_seed", ["0", "1", "4294967295"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_digest_is_the_same_everywhere(python: str, hash_seed: str) -> None:
    assert digests(python, hash_seed) == EXPECTED


def test_the_digest_is_the_same_without_the_c_extension() -> None:
    assert digests(sys.executable, "1", rows="python") == EXPECTED
