"""A run over all symbols: the fast path where it is the same, the live path where it is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from pipeline.backtest import fast_path, live_path
from pipeline.backtest.record import Record
from pipeline.backtest.series import Series
from pipeline.config import schema
from pipeline.run_digest import RunDigest
from pipeline.trading.agent import AgentLogic
from pipeline.trading.cores import agent_logic
from pipeline.trading.exec import ExecLogic

Path = Literal["auto", "live"]
FAILED = "a strategy fails"
WIDE = "a throttle counts over all symbols"


class Outcome(Struct, frozen=True):
    """`digest` is the one that the live pipeline leaves for the same candles; records by symbol, sorted.

    `slow` says of each symbol that took the live path, why.
    """

    digest: str
    records: dict[str, Record]
    slow: dict[str, str]


class Engine:
    """The trading core of one configuration, made once and run over any series.

    Raises ConfigError with every fault of the configuration.
    """

    def __init__(self, trading: schema.Trading, execs: schema.Exec) -> None:
        self.trading = trading
        self.execs = execs
        self.agent = self._fresh_agent()
        self.floor = ExecLogic(trading, execs)
        self._wide = any(throttle.over_symbols for throttle in trading.throttles)

    def _fresh_agent(self) -> AgentLogic:
        return agent_logic(self.trading, self.execs)

    def run(
        self,
        series: Mapping[str, Series],
        path: Path = "auto",
        progress: Callable[[int], None] | None = None,
    ) -> Outcome:
        """Runs every symbol, by its name; `progress` is told how many candles more are done."""
        digest = RunDigest()
        if self._wide:
            self.agent = self._fresh_agent()  # wide throttles remember
            together = live_path.run_together(self.agent, self.floor, series, digest, progress)
            return Outcome(digest.hexdigest(), together, dict.fromkeys(together, WIDE))
        records: dict[str, Record] = {}
        slow: dict[str, str] = {}
        for symbol in sorted(series):
            one = series[symbol]
            reason = fast_path.why_not(self.agent, one) if path == "auto" else "asked for"
            record = None
            if not reason:
                record = fast_path.run_fast(self.agent, self.floor, one, digest, progress)
                reason = FAILED if record is None else ""
            if record is None:
                slow[symbol] = reason
                record = live_path.run_live(self.agent, self.floor, one, digest, progress)
            records[symbol] = record
        return Outcome(digest.hexdigest(), records, slow)
