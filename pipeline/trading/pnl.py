"""Profit and loss a strategy and symbol: a fold over rows, in their order within each key."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pipeline.delivery import Delivery
from pipeline.messages import Candle, Event, Fate, Fill, Fills, decode_decision, decode_event, decode_fills
from pipeline.trading.book import booked, open_profit
from pipeline.trading.instruments import Instruments


class ProfitLine(Struct, frozen=True, kw_only=True):
    """One strategy in one symbol; amounts are exact decimal text in the instrument's own money.

    `trades` are round trips, counted where the position came back to zero; `realised` is before
    `commission`; `unrealised` is the open position's at `last_close`; `net` is realised + unrealised −
    commission. `position` is signed; `last_close` is "" when no candle was seen.
    """

    strategy: str
    symbol: str
    fills: int
    trades: int
    realised: str
    commission: str
    position: str
    unrealised: str
    net: str
    last_close: str


class _Account:
    """Running sums of one (strategy, symbol); plain integers without a bound."""

    __slots__ = ("commission", "cost", "fills", "position", "realised", "trades")

    def __init__(self) -> None:
        self.fills = self.trades = self.position = self.cost = self.realised = self.commission = 0

    def add(self, fill: Fill) -> None:
        self.position, self.cost, realised = booked(
            self.position, self.cost, fill.side, fill.quantity, fill.price
        )
        self.fills += 1
        self.trades += not self.position
        self.realised += realised
        self.commission += fill.commission


class ProfitAndLoss:
    """Add rows, then read `lines()`; may be read at any time."""

    __slots__ = ("_accounts", "_closes", "_instruments")

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._closes: dict[str, int] = {}

    @property
    def instruments(self) -> Instruments:
        return self._instruments

    def add(self, key: str, event: Event, fills: Fills, *, rejected: bool = False) -> None:
        """One row of `key`. A rejected candle's close counts for nothing, as it did for the agent."""
        if type(event) is Candle and not rejected:
            self.mark(key, event.close)
        for fill in fills.fills:
            name = (fill.strategy, key)
            account = self._accounts.get(name)
            if account is None:
                account = self._accounts[name] = _Account()
            account.add(fill)

    def mark(self, key: str, close: int) -> None:
        """The last close of `key`, where it is known otherwise than by its rows."""
        self._closes[key] = close

    def lines(self) -> tuple[ProfitLine, ...]:
        """Sorted by strategy, then symbol; those that ever filled."""
        return tuple(self._line(*name, self._accounts[name]) for name in sorted(self._accounts))

    def _line(self, strategy: str, symbol: str, account: _Account) -> ProfitLine:
        instrument = self._instruments.of(symbol)
        close = self._closes.get(symbol, 0)
        unrealised = open_profit(account.position, account.cost, close) if close else 0
        money = instrument.money_text
        return ProfitLine(
            strategy=strategy,
            symbol=symbol,
            fills=account.fills,
            trades=account.trades,
            realised=money(account.realised),
            commission=money(account.commission),
            position=instrument.quantity_text(account.position),
            unrealised=money(unrealised),
            net=money(account.realised + unrealised - account.commission),
            last_close=instrument.price_text(close) if close else "",
        )


def profit_and_loss(rows: Iterable[Delivery], instruments: Instruments) -> tuple[ProfitLine, ...]:
    """The lines of complete rows; those of one key must come in its order."""
    ledger = ProfitAndLoss(instruments)
    for row in rows:
        if row.fate == Fate.LIVE:
            rejected = bool(row.decision) and bool(decode_decision(row.decision).rejected)
            fills = decode_fills(row.fills) if row.fills else Fills()
            ledger.add(row.key, decode_event(row.payload), fills, rejected=rejected)
    return ledger.lines()
