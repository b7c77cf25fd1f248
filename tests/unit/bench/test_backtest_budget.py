"""The backtester's bench and its budget, far below what is reached: only a mistake misses it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.bench.backtest import Options, encode, run
from pipeline.bench.peers import installed
from pipeline.bench.throttle import Options as ThrottleOptions
from pipeline.bench.throttle import run as run_throttle
from pipeline.cli.app import ringline
from pipeline.cli.session import Session
from pipeline.errors import MissingError

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
    judged = {result["name"] for result in shown["results"] if result["target"] is not None}
    assert {"backtest.first_result", "backtest.peak_rss"} <= judged
    of_processor_time = {"backtest.fast_cpu", "backtest.with_preparation_cpu", "backtest.live_path_cpu"}
    assert of_processor_time <= set(names)


def test_both_paths_are_the_median_of_their_repeats_and_say_of_how_many_candles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spans = iter([4.0, 1.0, 2.0] * 3)

    def timed(action: Callable[[], object]) -> tuple[float, float]:
        action()
        return next(spans), 1.0

    monkeypatch.setattr("pipeline.bench.backtest._timed", timed)
    monkeypatch.setattr("pipeline.bench.backtest._MOST_LIVE", 100)
    bench = run(Options(candles=400, repeats=3, peers=False), lambda _: None)
    rows = {result.name: result for result in bench.results}
    assert rows["backtest.fast"].value == 400 / 2
    assert rows["backtest.with_preparation"].value == 400 / 2
    assert rows["backtest.live_path"].value == 100 / 2
    assert rows["backtest.live_path"].against == "reference backtester (100 candles)"
    assert rows["backtest.live_path_cpu"].against == "target (100 candles)"


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
    assert [result.name for result in bench.results] == [
        "throttle.window",
        "throttle.every_rule",
        "throttle.every_rule.100",
        "throttle.every_rule.1000",
        "throttle.two_throttles",
    ]
    assert all(result.value and result.target for result in bench.results)


@pytest.mark.slow
@pytest.mark.skipif(bool(os.environ.get(SKIP)), reason=f"{SKIP} is set")
def test_a_throttles_decision_costs_about_the_same_however_full_its_window_is() -> None:
    bench = run_throttle(ThrottleOptions(decisions=20_000, repeats=5), lambda _: None)
    cost = {result.name: result.value for result in bench.results if result.value is not None}
    assert cost["throttle.every_rule.1000"] < 2.5 * cost["throttle.every_rule"]


FAKE = """#!{python}
import importlib.util, importlib.metadata, sys
importlib.util.find_spec = lambda name: name in ("backtesting", "pandas") or None
importlib.metadata.version = lambda name: "0.0.7"
if "repeats" in sys.argv[2]:
    print("2.0 0.5 3.0")
    print("4.0 1.0 9.0")
else:
    exec(sys.argv[2].replace("json.loads(sys.argv[1])", "json.loads(sys.argv[3])"))
"""
"""An interpreter that has one peer, which takes 3 s by the clock, and 6 s with its data preparation."""


def test_peers_may_be_installed_for_another_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(FAKE.format(python=sys.executable))
    python.chmod(0o755)
    assert installed(str(python)) == {"backtesting.py": "0.0.7"}
    options = Options(candles=300, repeats=2, peers_python=str(python))
    said: list[str] = []
    bench = run(options, said.append)
    assert bench.versions["backtesting.py"] == "0.0.7"
    speeds = {result.name: result.value for result in bench.results if result.name.startswith("peer")}
    assert speeds == {
        "peer.backtesting.py": 100.0,
        "peer.backtesting.py.cpu": 600.0,
        "peer.backtesting.py.with_preparation": 50.0,
    }
    (ours,) = [result for result in bench.results if result.name == "backtest.with_preparation"]
    assert ours.against == "best installed peer with preparation"
    assert ours.value is not None
    assert ours.ratio == pytest.approx(ours.value / 50, rel=1e-3)
    assert "vectorbt: not installed" in said


def test_what_is_no_interpreter_is_named(tmp_path: Path) -> None:
    words = ["bench", "backtest", "--candles", "50", "--peers-python", str(tmp_path / "none")]
    result = CliRunner().invoke(ringline, words, obj=Session())
    assert isinstance(result.exception, MissingError)
    assert f"--peers-python {tmp_path}/none: is no Python that runs" in str(result.exception)
