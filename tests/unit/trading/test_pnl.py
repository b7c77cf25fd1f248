from __future__ import annotations

from pipeline.config.schema import Instrument, Trading
from pipeline.delivery import Delivery
from pipeline.messages import BUY, SELL, Candle, Decision, Fate, Fill, Fills, encode
from pipeline.trading.instruments import Instruments
from pipeline.trading.pnl import ProfitAndLoss, ProfitLine, profit_and_loss

INSTRUMENTS = Instruments(
    Trading(instruments={"default": Instrument(price_scale=2, quantity_scale=0, tick="0.01", lot="1")})
)


def row(seq: int, close: int, *fills: Fill, key: str = "A", rejected: str = "", fate: int = 0) -> Delivery:
    candle = Candle(key, seq, close, close, close, close, 0)
    return Delivery(
        key,
        seq,
        b"",
        "demo",
        str(seq),
        0,
        fate,
        encode(candle),
        decision=encode(Decision(rejected=rejected)),
        fills=encode(Fills(fills)),
    )


def fill(side: int, quantity: int, price: int, strategy: str = "s", commission: int = 5) -> Fill:
    return Fill(1, 0, strategy, side, quantity, price, commission, 0, 0, "next_open")


def test_rows_fold_to_exact_text_a_strategy_and_symbol() -> None:
    rows = [
        row(1, 1000, fill(BUY, 10, 1000)),
        row(2, 1100, fill(SELL, 10, 1100), fill(SELL, 4, 1100)),
        row(3, 1050),
    ]
    assert profit_and_loss(rows, INSTRUMENTS) == (
        ProfitLine(
            strategy="s",
            symbol="A",
            fills=3,
            trades=1,
            realised="10",
            commission="0.15",
            position="-4",
            unrealised="2",
            net="11.85",
            last_close="10.5",
        ),
    )


def test_lines_are_sorted_by_strategy_then_symbol() -> None:
    rows = [
        row(1, 10, fill(BUY, 1, 10, "z"), key="B"),
        row(1, 10, fill(BUY, 1, 10, "a"), fill(BUY, 1, 10, "z")),
    ]
    names = [(line.strategy, line.symbol) for line in profit_and_loss(rows, INSTRUMENTS)]
    assert names == [("a", "A"), ("z", "A"), ("z", "B")]


def test_rejected_candles_and_tombstones_count_for_nothing() -> None:
    rows = [
        row(1, 1000, fill(BUY, 1, 1000)),
        row(2, 9, rejected="CANDLE_STALE: x"),
        row(3, 9, fate=Fate.EXPIRED),
    ]
    assert profit_and_loss(rows, INSTRUMENTS)[0].last_close == "10"


def test_without_any_close_an_open_position_is_not_valued() -> None:
    ledger = ProfitAndLoss(INSTRUMENTS)
    ledger.add("A", Candle("A", 1, 9, 9, 9, 9, 0), Fills((fill(BUY, 1, 1000),)), rejected=True)
    line = ledger.lines()[0]
    assert (line.unrealised, line.last_close, line.net) == ("0", "", "-0.05")
