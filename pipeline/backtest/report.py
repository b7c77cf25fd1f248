"""What a backtest found, as data: JSON first, everything else is drawn from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec
import numpy as np
from msgspec import Struct

from pipeline import limits
from pipeline.backtest import equity
from pipeline.backtest.assemble import Findings
from pipeline.backtest.engine import Engine, Outcome
from pipeline.backtest.series import Column, Series
from pipeline.backtest.times import day_text
from pipeline.config import schema
from pipeline.messages import Candle, Fills
from pipeline.trading.instruments import Instruments
from pipeline.trading.pnl import ProfitAndLoss, ProfitLine

SCHEMA = 2
POINTS = 400
"""Points of a drawn line, and marks on it: more fall into the same pixels."""
SHARPE_SOURCE = (
    "mean ÷ sample standard deviation of the returns, × √(returns a year); benchmark 0. W. F. Sharpe, "
    "The Sharpe Ratio, Journal of Portfolio Management 21 (1994), 49-58"
)


class Line(Struct, frozen=True, kw_only=True):
    """One strategy in one symbol. Amounts are exact text in the instrument's money; shares are 0 to 1."""

    strategy: str
    symbol: str
    fills: int
    trades: int
    realised: str
    unrealised: str
    commission: str
    net: str
    position: str
    exposure: float
    drawdown: float


class Throttled(Struct, frozen=True, kw_only=True):
    """The same run without any throttle beside this one. `cost` is what it would have made more: negative
    where the throttles saved money. Both are exact text."""

    net: str
    trades: int
    fills: int
    cost: str
    digest: str


class Track(Struct, frozen=True, kw_only=True):
    """A drawn line: `x` in microseconds since the epoch, `y` as near to the amounts as floats are."""

    name: str
    x: tuple[int, ...]
    y: tuple[float, ...]


class Mark(Struct, frozen=True, kw_only=True):
    """A fill on a drawn price."""

    x: int
    y: float
    buy: bool
    text: str


class Report(Struct, frozen=True, kw_only=True):
    """`net` is exact text. `capital` is the one that was given or, as `capital_basis` says, the sum of the
    largest notionals that each line ever held. `path` is "fast", "live" or "mixed", with the reasons in
    `slow`."""

    schema: int = SCHEMA
    source: str
    policy: str
    commission_bps: str
    slippage_bps: str
    candles: int
    symbols: dict[str, int]
    start: str
    end: str
    digest: str
    path: str
    slow: dict[str, str]
    orders: int
    fills: int
    trades: int
    denied: int
    rejected: int
    denials: dict[str, int]
    capital: float
    capital_basis: str
    net: str
    total_return: float | None
    drawdown: float
    drawdown_share: float | None
    sharpe: float | None
    sharpe_returns: int
    sharpe_source: str = SHARPE_SOURCE
    exposure: float
    lines: tuple[Line, ...]
    throttle: Throttled | None
    findings: Findings
    equity: tuple[Track, ...]
    falls: Track | None
    prices: tuple[Track, ...]
    marks: dict[str, tuple[Mark, ...]]


def encode_report(report: Report) -> bytes:
    """Indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def build_report(
    engine: Engine,
    series: Mapping[str, Series],
    outcome: Outcome,
    findings: Findings,
    source: str,
    *,
    capital: float | None = None,
    unthrottled: Outcome | None = None,
) -> Report:
    """Every figure of one run. `unthrottled` is the run without throttles, where there are any."""
    instruments = Instruments(engine.trading)
    lines, curves = _lines(series, outcome, instruments)
    basis = "given" if capital is not None else "largest notional held"
    if capital is None:
        capital = equity.largest_held(curves)
    times, net = equity.summed(curves)
    deepest, share = equity.drawdown(net, capital)
    ratio, returns = equity.sharpe(times, net, capital)
    made = net_of(lines)
    records = outcome.records.values()
    paths = {record.path for record in records}
    ends = [(int(one.time_us[0]), int(one.time_us[-1])) for one in series.values() if len(one)]
    candles = sum(map(len, series.values()))
    return Report(
        source=source,
        policy=engine.execs.fill_policy,
        commission_bps=engine.execs.commission_bps,
        slippage_bps=engine.execs.slippage_bps,
        candles=candles,
        symbols={symbol: len(one) for symbol, one in sorted(series.items())},
        start=day_text(min(start for start, _ in ends)) if ends else "",
        end=day_text(max(end for _, end in ends)) if ends else "",
        digest=outcome.digest,
        path=paths.pop() if len(paths) == 1 else "mixed",
        slow=outcome.slow,
        orders=sum(record.orders for record in records),
        fills=sum(len(record.fills) for record in records),
        trades=sum(line.trades for line in lines),
        denied=sum(record.denied for record in records),
        rejected=sum(record.rejected for record in records),
        denials=_denials(outcome),
        capital=capital,
        capital_basis=basis,
        net=exact_text(made),
        total_return=float(made) / capital if capital > 0 else None,
        drawdown=deepest,
        drawdown_share=share,
        sharpe=ratio,
        sharpe_returns=returns,
        exposure=equity.exposure(curves, series),
        lines=tuple(lines),
        throttle=_throttled(series, unthrottled, instruments, made),
        findings=findings,
        equity=_equity_tracks(curves, times, net),
        falls=_track("drawdown, %", times, 100 * equity.falls(net, capital)) if capital > 0 else None,
        prices=tuple(_prices(one, instruments) for one in series.values() if len(one)),
        marks={symbol: _marks(one, outcome, instruments) for symbol, one in series.items()},
    )


def without_throttles(trading: schema.Trading) -> schema.Trading:
    return msgspec.structs.replace(trading, throttles=())


def _lines(
    series: Mapping[str, Series], outcome: Outcome, instruments: Instruments
) -> tuple[list[Line], list[equity.LineCurve]]:
    curves = [
        curve
        for symbol, record in outcome.records.items()
        for curve in equity.line_curves(series[symbol], record, instruments.of(symbol).money_scale)
    ]
    by_name = {(curve.strategy, curve.symbol): curve for curve in curves}
    lines = []
    for line in profit_lines(series, outcome, instruments):
        curve = by_name[line.strategy, line.symbol]
        lines.append(
            Line(
                strategy=line.strategy,
                symbol=line.symbol,
                fills=line.fills,
                trades=line.trades,
                realised=line.realised,
                unrealised=line.unrealised,
                commission=line.commission,
                net=line.net,
                position=line.position,
                exposure=curve.exposure,
                drawdown=equity.drawdown(curve.net, 0.0)[0],
            )
        )
    return lines, curves


def profit_lines(
    series: Mapping[str, Series], outcome: Outcome, instruments: Instruments
) -> tuple[ProfitLine, ...]:
    """Exact profit and loss by the ledger that the live report uses."""
    ledger = ProfitAndLoss(instruments)
    for symbol, record in outcome.records.items():
        one = series[symbol]
        if not len(one):
            continue
        last = Candle(symbol, 0, 0, 0, 0, int(one.close[-1]), 0)
        ledger.add(symbol, last, Fills(tuple(fill for _, fill in record.fills)))
    return ledger.lines()


def net_of(lines: Iterable[Line | ProfitLine]) -> Decimal:
    """Of all lines together, exactly."""
    return sum((Decimal(line.net) for line in lines), Decimal(0))


def exact_text(amount: Decimal) -> str:
    """The shortest decimal text, without an exponent."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _denials(outcome: Outcome) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for record in outcome.records.values():
        counts.update(record.denials)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _throttled(
    series: Mapping[str, Series], free: Outcome | None, instruments: Instruments, net: Decimal
) -> Throttled | None:
    if free is None:
        return None
    lines = profit_lines(series, free, instruments)
    made = net_of(lines)
    return Throttled(
        net=exact_text(made),
        trades=sum(line.trades for line in lines),
        fills=sum(line.fills for line in lines),
        cost=exact_text(made - net),
        digest=free.digest,
    )


def _equity_tracks(curves: list[equity.LineCurve], times: Column, net: equity.Curve) -> tuple[Track, ...]:
    tracks = [
        _track(f"{curve.strategy} {curve.symbol}", curve.time_us, curve.scaled, curve.units)
        for curve in curves
    ]
    if len(curves) > 1:
        both = _track("all", times, net)
        # Floats were added: what is beyond these decimals is of the adding.
        y = tuple(round(value, limits.MAX_SCALE) for value in both.y)
        tracks.insert(0, msgspec.structs.replace(both, y=y))
    return tuple(tracks)


def _track(name: str, times: Column, values: equity.Curve | Column, units: int = 1) -> Track:
    """`values` are divided by `units`, as Python does it: the float nearest to the exact amount."""
    picked = np.unique(np.linspace(0, len(times) - 1, POINTS).astype(np.int64)) if len(times) else times
    return Track(
        name=name,
        x=tuple(times[picked].tolist()),
        y=tuple(value / units for value in values[picked].tolist()),
    )


def _prices(series: Series, instruments: Instruments) -> Track:
    units = 10 ** instruments.of(series.symbol).price_scale
    return _track(series.symbol, series.time_us, series.close, units)


def _marks(series: Series, outcome: Outcome, instruments: Instruments) -> tuple[Mark, ...]:
    instrument = instruments.of(series.symbol)
    fills = outcome.records[series.symbol].fills
    every = -(-len(fills) // POINTS) or 1
    return tuple(
        Mark(
            x=int(series.time_us[row]),
            y=fill.price / 10**instrument.price_scale,
            buy=fill.side > 0,
            text=f"{fill.strategy} {'buys' if fill.side > 0 else 'sells'} "
            f"{instrument.quantity_text(fill.quantity)} at {instrument.price_text(fill.price)}",
        )
        for row, fill in fills[::every]
    )
