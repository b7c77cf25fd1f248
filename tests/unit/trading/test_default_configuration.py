"""The default configuration on a long made-up history: it trades, it is throttled, it is the same always."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest

from pipeline.config.schema import Exec, Trading
from pipeline.messages import Outcome, SignalIn, Verdict, encode
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import ExecLogic
from pipeline.trading.instruments import Instruments
from pipeline.trading.outcome import outcome
from pipeline.trading.reasons import code_of
from pipeline.trading.walk import random_walk

BARS = 2_400
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
STATE_BYTES = 2_048


class Run:
    """The five symbols through agent and exec, counted and digested."""

    def __init__(self) -> None:
        agent, floor = AgentLogic(Trading()), ExecLogic(Trading(), Exec())
        self.outcomes: Counter[Outcome] = Counter()
        self.verdicts: Counter[int] = Counter()
        self.denials: Counter[str] = Counter()
        self.state_bytes = 0
        digest = hashlib.sha256()
        for seed, symbol in enumerate(SYMBOLS):
            a, x = agent.origin(symbol), floor.origin(symbol)
            for seq, candle in enumerate(random_walk(symbol, BARS, seed), 1):
                a, decision = agent.step(a, candle, key_seq=seq, at_us=0)
                x, fills = floor.step(x, candle, decision, key_seq=seq)
                self.outcomes[outcome(0, decision, fills)] += 1
                for leg in decision.legs:
                    self.verdicts[leg.verdict] += 1
                    self.denials.update(map(code_of, leg.reasons))
                self.state_bytes = max(self.state_bytes, len(agent.encode(a)) + len(floor.encode(x)))
                digest.update(encode(candle) + encode(decision) + encode(fills))
        self.digest = digest.hexdigest()


@pytest.fixture(scope="module")
def run() -> Run:
    return Run()


def test_it_orders_fills_holds_and_is_throttled_in_reason(run: Run) -> None:
    assert run.verdicts[Verdict.ORDERED] > 50 * len(SYMBOLS)
    assert run.verdicts[Verdict.FAILED] == 0
    assert run.denials["THROTTLE_COOLDOWN"] > 0
    assert run.denials["THROTTLE_WINDOW"] > 0
    assert 5 < run.verdicts[Verdict.DENIED] < run.verdicts[Verdict.ORDERED]
    wanted = {Outcome.FILLED, Outcome.PLACED, Outcome.REJECTED, Outcome.HELD}
    assert set(run.outcomes) == wanted
    assert run.outcomes.total() == BARS * len(SYMBOLS)


def test_its_states_stay_small(run: Run) -> None:
    assert run.state_bytes < STATE_BYTES


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_it_is_the_same_in_every_process_whatever_the_hash_seed(run: Run, seed: str) -> None:
    code = f"import runpy; print(runpy.run_path({__file__!r})['Run']().digest)"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == run.digest


def test_made_up_candles_are_possible_ones_in_order() -> None:
    last_us = 0
    for candle in random_walk("A", 5_000, 7):
        assert 0 < candle.low <= min(candle.open, candle.close)
        assert max(candle.open, candle.close) <= candle.high
        assert candle.time_us > last_us
        last_us = candle.time_us


def test_signals_of_others_are_not_throttled() -> None:
    agent = AgentLogic(Trading())
    state = agent.origin("AAPL")
    verdicts = []
    for seq, (side, strategy) in enumerate(
        [
            ("buy", "signal"),
            ("close", "signal"),
            ("buy", "signal"),
            ("buy", "sma"),
            ("close", "sma"),
            ("buy", "sma"),
        ]
    ):
        signal = Instruments(Trading()).inside(SignalIn("AAPL", side, strategy, "10", "100"))
        state, decision = agent.step(state, signal, key_seq=seq + 1, at_us=seq * 1_000_000)
        verdicts += [leg.verdict for leg in decision.legs]
    assert verdicts == [Verdict.ORDERED] * 5 + [Verdict.DENIED]
