"""The valuation's bench, stress and latency: what they print, and figures that can miss their target."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bench.paired import paired_cost
from pipeline.bench.valuation import Figures, _marks_us, results
from pipeline.bench.valuation_calls import Phase, nearest_rank
from pipeline.bench.valuation_server import BARS, Market, history_by_symbol
from pipeline.config import Config
from pipeline.messages import CandleIn


def phase(ms: float) -> Phase:
    return Phase([ms] * 100, [ms / 2] * 100, 50.0, 40_000)


def met(figures: Figures) -> dict[str, bool | None]:
    return {result.name: result.met for result in results(figures)}


def test_every_target_can_be_met_and_missed() -> None:
    good = met(Figures(phase(1.0), phase(1.02), [0.1] * 100, [0.1] * 100, 0.5, 7.0, 15.0))
    bad = met(Figures(phase(3.1), phase(4.0), [6.0] * 100, [0.1] * 100, 0.5, 7.0, 15.0))
    targets = [name for name, found in good.items() if found is not None]
    assert len(targets) == 4
    assert all(good[name] for name in targets)
    assert not any(bad[name] for name in targets)


def test_a_lag_that_was_not_recorded_is_missed() -> None:
    assert met(Figures(phase(1.0), phase(1.0), [], [], 0.5, 7.0, 15.0))["event loop lag p99"] is False


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=6, max_size=200), st.floats(0, 0.5))
def test_a_constant_share_is_found_within_its_interval(first: list[float], share: float) -> None:
    middle = median(first)
    found = paired_cost(first, [one + share * middle for one in first])
    assert found.low <= found.percent + 1e-6
    assert found.percent <= found.high + 1e-6
    assert found.percent == pytest.approx(100 * share, abs=1e-6)


def test_too_few_pairs_bound_nothing() -> None:
    with pytest.raises(ValueError, match="six pairs"):
        paired_cost([1.0] * 5, [1.0] * 5)


def test_a_percentile_is_a_figure_that_was_measured() -> None:
    assert nearest_rank([4, 1, 3, 2], 50) == 2
    assert nearest_rank(range(1, 101), 95) == 95


def test_the_market_is_real_history() -> None:
    found = history_by_symbol(300)
    assert len(found) == 300
    assert all(len(candles) == BARS for candles in found.values())
    with pytest.raises(ValueError, match="the history has"):
        history_by_symbol(10_000)


class Posted:
    """What a market posts."""

    def __init__(self) -> None:
        self.candles: list[list[CandleIn]] = []

    def do(self, method: str, path: str, value: Any) -> None:
        assert (method, path) == ("POST", "/v1/candles")
        self.candles.append(value["candles"])


def test_a_market_moves_each_mark_at_every_tenth_turn() -> None:
    lasts = [history[-1] for history in history_by_symbol(30).values()]
    posted = Posted()
    market = Market(posted, lasts)  # type: ignore[arg-type]
    for _ in range(20):
        market.move()
    assert [len(candles) for candles in posted.candles] == [market.share] * 20 == [3] * 20
    first, second = posted.candles[:10], posted.candles[10:]
    assert {one.symbol for candles in first for one in candles} == {one.symbol for one in lasts}
    moves = [
        (one.close, again.close, one.time < again.time)
        for candles, later in zip(first, second, strict=True)
        for one, again in zip(candles, later, strict=True)
    ]
    assert sum(one != again for one, again, _ in moves) > 25, "an open is seldom the close"
    assert all(is_later for _, _, is_later in moves)


def ringline(folder: Path, *words: str) -> tuple[int, str]:
    command = (sys.executable, "-m", "pipeline", *words, "--set", f"data_dir={folder}/data")
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    return done.returncode, done.stdout


@pytest.mark.slow
def test_the_stress_prints_ours_beside_the_reference(tmp_path: Path) -> None:
    code, text = ringline(tmp_path, "stress", "valuation", "--calls", "6", "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(text)
    assert [(line["ensemble"], line["calls"], line["reference_p95_ms"]) for line in found["lines"]] == [
        (False, 6, 14.7),
        (True, 6, 20.4),
    ]
    assert found["marks_moved"] == 30
    assert all(line["cpu_ms_a_call"] > 0 and line["memory_mb"] > 10 for line in found["lines"])


@pytest.mark.slow
def test_latency_is_a_line_a_call_and_a_last_one(tmp_path: Path) -> None:
    code, text = ringline(tmp_path, "latency", "collect", "--calls", "3", "--ensemble")
    assert code == 0
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line.get("call") for line in lines] == [1, 2, 3, None]
    assert all(line["status"] == 200 for line in lines[:3])
    assert all(line["moved"] == 30 for line in lines)
    assert lines[3]["p50_ms"] <= lines[3]["p95_ms"]


def test_what_a_mark_costs_is_told_with_one_model_and_with_all() -> None:
    plain_us, all_us = _marks_us(Config())
    assert 0 < plain_us < all_us
    figures = Figures(phase(1.0), phase(1.02), [0.1] * 100, [0.1] * 100, 0.5, plain_us, all_us)
    (told,) = (one for one in results(figures) if one.name == "processor time of a mark, all models")
    assert told.value == pytest.approx(all_us, rel=0.01)
