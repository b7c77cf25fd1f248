"""`ringline backtest`: read, run, report; also without throttles, so that their cost is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from pipeline.backtest.assemble import Findings
from pipeline.backtest.engine import Engine
from pipeline.backtest.engine import Path as RunPath
from pipeline.backtest.render import render_html
from pipeline.backtest.report import Report, build_report, without_throttles
from pipeline.backtest.series import Series
from pipeline.config import Config
from pipeline.errors import MissingError

Progress = Callable[[int], None]


class Data(Struct, frozen=True):
    """Candles, where they are from and what was odd about them."""

    series: Mapping[str, Series]
    findings: Findings
    source: str


def backtest(
    config: Config,
    data: Data,
    *,
    path: RunPath = "auto",
    capital: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """One run and its report. Raises ConfigError."""
    engine = Engine(config.trading, config.exec)
    outcome = engine.run(data.series, path, progress)
    free = None
    if config.trading.throttles:
        free = Engine(without_throttles(config.trading), config.exec).run(data.series, path, progress)
    return build_report(
        engine, data.series, outcome, data.findings, data.source, capital=capital, unthrottled=free
    )


def runs_of(config: Config) -> int:
    """How often `backtest` goes over the candles: what its progress adds up to, in series."""
    return 2 if config.trading.throttles else 1


def write_html(report: Report, file: Path) -> None:
    """Raises MissingError when it cannot."""
    try:
        file.write_text(render_html(report), encoding="utf-8")
    except OSError as error:
        raise MissingError(f"{file}: {error.strerror or error}") from None
