"""The live path: every candle through `AgentLogic` and `ExecLogic`, exactly the code of the workers."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.backtest.record import Record
from pipeline.backtest.series import Series
from pipeline.messages import encode
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
