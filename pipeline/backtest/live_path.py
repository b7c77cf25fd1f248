"""The live path: every candle through `AgentLogic` and `ExecLogic`, exactly the code of the workers."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

from pipeline.backtest.record import Record
from pipeline.backtest.series import Series
from pipeline.messages import Candle, Decision, Fills, encode
from pipeline.run_digest import RunDigest
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import ExecLogic

NAME = "live"
_TELL_EVERY = 8_192


def run_live(
    agent: AgentLogic,
    floor: ExecLogic,
    series: Series,
    digest: RunDigest,
    progress: Callable[[int], None] | None = None,
) -> Record:
    """Runs one key; `progress` is told how many candles more are done."""
    record = Record(series.symbol, len(series), NAME)
    agent_state, exec_state = agent.origin(series.symbol), floor.origin(series.symbol)
    digest.key(series.symbol)
    decide, execute, add_row, add = agent.step, floor.step, digest.row, record.add
    told = 0
    for key_seq, candle in enumerate(series.candles(), 1):
        # A candle's clock is its own time, so when it was accepted decides nothing.
        agent_state, decision = decide(agent_state, candle, key_seq=key_seq, at_us=candle.time_us)
        exec_state, fills = execute(exec_state, candle, decision, key_seq=key_seq)
        add_row(key_seq, encode(candle), encode(decision), encode(fills))
        add(key_seq - 1, decision, fills)
        if progress is not None and not key_seq % _TELL_EVERY:
            progress(_TELL_EVERY)
            told = key_seq
    if progress is not None:
        progress(len(series) - told)
    return record


def run_together(
    agent: AgentLogic,
    floor: ExecLogic,
    series: Mapping[str, Series],
    digest: RunDigest,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Record]:
    """Runs all keys at once, candles in the order of their times and then of their symbols: what one key
    enters decides what another one may."""
    keys = {symbol: _Key(agent, floor, series[symbol]) for symbol in sorted(series)}
    streams: list[Iterator[tuple[int, str, Candle]]] = [_timed(series[symbol]) for symbol in keys]
    for done, (_, symbol, candle) in enumerate(heapq.merge(*streams), 1):
        keys[symbol].step(candle)
        if progress is not None and not done % _TELL_EVERY:
            progress(_TELL_EVERY)
    if progress is not None:
        progress(sum(map(len, series.values())) % _TELL_EVERY)
    for symbol, key in keys.items():
        digest.key(symbol)
        for key_seq, row in enumerate(key.rows, 1):
            digest.row(key_seq, *row)
    return {symbol: key.record for symbol, key in keys.items()}


def _timed(series: Series) -> Iterator[tuple[int, str, Candle]]:
    for candle in series.candles():
        yield candle.time_us, series.symbol, candle


class _Key:
    """One key of a run of several; `rows` are kept, as the digest takes keys one after the other."""

    def __init__(self, agent: AgentLogic, floor: ExecLogic, series: Series) -> None:
        self._agent, self._floor = agent, floor
        self._states = agent.origin(series.symbol), floor.origin(series.symbol)
        self.record = Record(series.symbol, len(series), NAME)
        self.rows: list[tuple[bytes, bytes, bytes]] = []

    def step(self, candle: Candle) -> None:
        agent_state, exec_state = self._states
        key_seq = len(self.rows) + 1
        decision: Decision
        fills: Fills
        agent_state, decision = self._agent.step(agent_state, candle, key_seq=key_seq, at_us=candle.time_us)
        exec_state, fills = self._floor.step(exec_state, candle, decision, key_seq=key_seq)
        self._states = agent_state, exec_state
        self.rows.append((encode(candle), encode(decision), encode(fills)))
        self.record.add(key_seq - 1, decision, fills)
