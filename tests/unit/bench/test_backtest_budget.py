"""The backtester's bench and its budget, far below what is reached: only a mistake misses it."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from pipeline.bench.backtest import Options, encode, run
from pipeline.bench.throttle import Options as ThrottleOptions
from pipeline.bench.throttle import run as run_throttle
from pipeline.cli.app import ringline
from pipeline.cli.session import Session

SKIP = "RINGLINE_SKIP_PERFORMANCE"
LEAST_CANDLES_PER_S = 833
MOST_STAGE_MS = 50


@pytest.mark.slow
@pytest.mark.skipif(bool(os.environ.get(SKIP)), reason=f"{SKIP} is set")
def test_the_backtester_keeps_its_budget() -> None:
    bench = run(Options(candles=20_000, peers=False), lambda _: None)
    assert bench.candles_per_sec.min >= LEAST_CANDLES_PER_S
    assert bench.p95_stage_latency_ms is None or bench.p95_stage_latency_ms < MOST_STAGE_MS


def test_the_json_has_the_names_that_were_asked_for() -> None:
    bench = run(Options(candles=200, seed=3, repeats=2, peers=False), lambda _: None)
    shown = json.loads(encode(bench))
    wanted = {"candles", "repeats", "seed", "candles_per_sec", "p95_stage_latency_ms", "peak_rss_mb"}
    assert wanted <= set(shown)
    assert (shown["candles"], shown["repeats"], shown["seed"]) == (200, 2, 3)
    assert set(shown["candles_per_sec"]) == {"min", "median", "p95"}
    assert 0 < shown["candles_per_sec"]["min"] <= shown["candles_per_sec"]["p95"]
    names = [result["name"] for result in shown["results"]]
    assert names[:3] == ["backtest.fast", "backtest.with_preparation", "backtest.live_path"]
    assert all(result["ratio"] for result in shown["results"])


def test_the_same_seed_gives_the_same_candles_and_digest() -> None:
    digests = {
        seed: run(Options(candles=300, seed=seed, repeats=1, peers=False), lambda _: None).digest
        for seed in (1, 2)
    }
    again = run(Options(candles=300, seed=1, repeats=1, peers=False), lambda _: None)
    assert again.digest == digests[1] != digests[2]


@pytest.mark.parametrize(
    "words", [["--candles", "0"], ["--repeats", "0"], ["--seed", "-1"], ["--candles", "x"]]
)
def test_impossible_flags_are_refused_by_name(words: list[str]) -> None:
    result = CliRunner().invoke(ringline, ["bench", "backtest", *words], obj=Session())
    assert result.exit_code == 2
    assert words[0] in result.output


def test_the_throttle_bench_prints_the_one_shape() -> None:
    bench = run_throttle(ThrottleOptions(decisions=2_000, repeats=1), lambda _: None)
    assert [result.name for result in bench.results] == ["throttle.window", "throttle.every_rule"]
    assert all(result.value for result in bench.results)
