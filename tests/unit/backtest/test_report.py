from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from decimal import Decimal

import numpy as np
import pytest

from pipeline.backtest import equity
from pipeline.backtest.assemble import Findings
from pipeline.backtest.job import Data, backtest
from pipeline.backtest.render import headline, plots, render_html, tables
from pipeline.backtest.report import encode_report, exact_text
from pipeline.backtest.series import Series
from pipeline.backtest.synthetic import synthetic
from pipeline.config import Config, schema

DAY_US = 86_400_000_000


def data(count: int = 5_000) -> Data:
    series = {"B": synthetic("B", count, 7)}
    return Data(series, Findings(candles=count, symbols={"B": count}), "made up")


def test_figures_of_a_run_that_can_be_followed_by_hand() -> None:
    opens = [10, 10, 11, 20, 13, 30, 14]
    closes = [10, 9, 12, 13, 11, 10, 9]
    high = [max(pair) for pair in zip(opens, closes, strict=True)]
    low = [min(pair) for pair in zip(opens, closes, strict=True)]
    first, top, bottom, last = (np.array(one, dtype=np.int64) * 10_000 for one in (opens, high, low, closes))
    times = np.arange(1, 8, dtype=np.int64) * DAY_US
    series = Series("K", times, first, top, bottom, last, first * 0)
    strategy = schema.Strategy(kind="sma_cross", fast=1, slow=2, quantity="2")
    config = Config(
        trading=schema.Trading(strategies={"x": strategy}, throttles=()), exec=schema.Exec(commission_bps="0")
    )
    made = Data({"K": series}, Findings(candles=7, symbols={"K": 7}), "by hand")
    report = backtest(config, made, capital=100.0)
    # Up at 12, bought at the next open 20; down at 11, sold at the next open 30; 2 pieces.
    assert (report.orders, report.fills, report.trades, report.net) == (2, 2, 1, "20")
    assert report.total_return == 0.2
    # Held at two closes, 13 and 11: 14 and 18 below what was paid.
    assert (report.drawdown, report.drawdown_share) == (18.0, 0.18)
    assert report.exposure == pytest.approx(2 / 7)
    assert report.throttle is None
    assert [mark.text for mark in report.marks["K"]] == ["x buys 2 at 20", "x sells 2 at 30"]


def test_equity_follows_cash_and_position() -> None:
    report = backtest(Config(), data())
    assert report.equity[-1].y[-1] == pytest.approx(float(report.lines[-1].net), abs=1e-6)
    assert Decimal(report.net) == sum(Decimal(line.net) for line in report.lines)
    assert 0 < report.exposure <= 1


def test_throttles_are_priced_against_a_run_without_them() -> None:
    report = backtest(Config(), data())
    assert report.denied > 0
    assert report.throttle is not None
    assert Decimal(report.throttle.cost) == Decimal(report.throttle.net) - Decimal(report.net)
    assert report.throttle.fills > report.fills
    assert sum(report.denials.values()) >= report.denied


def test_drawdown_is_the_deepest_fall_from_a_peak() -> None:
    net = np.array([0.0, 10.0, 4.0, 12.0, 11.0])
    assert equity.drawdown(net, 90.0) == pytest.approx((6.0, 0.06))
    assert equity.drawdown(net[:0], 90.0) == (0.0, None)
    assert equity.drawdown(np.array([-5.0]), 100.0) == (5.0, 0.05)


def test_sharpe_is_the_mean_over_the_deviation_annualised() -> None:
    days = 60
    rng = np.random.default_rng(5)
    net = np.cumsum(rng.normal(0.1, 1, days))
    times = np.arange(1, days + 1, dtype=np.int64) * DAY_US
    found, count = equity.sharpe(times, net, 100.0)
    equities = np.concatenate(([100.0], 100.0 + net))
    returns = np.diff(equities) / equities[:-1]
    years = (days - 1) / 365.25
    assert count == days
    assert found == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(days / years))
    assert equity.sharpe(times, net * 0, 100.0) == (None, days)
    assert equity.sharpe(times[:2], net[:2], 100.0) == (None, 0)
    assert equity.sharpe(times, net, 0.0) == (None, 0)
    assert equity.sharpe(times, net - 1_000, 100.0) == (None, 0)


def test_lines_of_symbols_with_other_times_add_up() -> None:
    def curve(symbol: str, times: list[int], net: list[float]) -> equity.LineCurve:
        column = np.array(times, dtype=np.int64)
        return equity.LineCurve("s", symbol, column, np.array(net), np.array(net), 0.5, np.array(net), 1)

    times, net = equity.summed([curve("A", [1, 3, 5], [1, 2, 3]), curve("B", [2, 3, 9], [10, 20, 30])])
    assert times.tolist() == [1, 2, 3, 5, 9]
    assert net.tolist() == [1, 11, 22, 23, 33]


def test_the_page_is_well_formed_and_draws_equity_drawdown_and_trades() -> None:
    report = backtest(Config(), data())
    drawn = dict(plots(report))
    assert [title.split(":")[0].split(",")[0] for title in drawn] == [
        "Equity", "Drawdown", "Trades of B",
    ]  # fmt: skip
    for drawing in drawn.values():
        ElementTree.fromstring("<x>" + drawing + "</x>")
    trades = list(drawn.values())[2]
    assert 'class="buy"' in trades
    assert 'class="sell"' in trades
    page = render_html(report)
    assert report.digest in page
    assert headline(report)[:20] in page


def test_the_same_run_gives_the_same_report() -> None:
    assert encode_report(backtest(Config(), data())) == encode_report(backtest(Config(), data()))
    live = backtest(Config(), data(), path="live")
    assert live.digest == backtest(Config(), data()).digest
    assert live.path == "live"


def test_a_run_without_a_trade_has_a_report_too() -> None:
    report = backtest(Config(), data(5))
    assert (report.trades, report.net, report.total_return, report.sharpe) == (0, "0", None, None)
    assert tables(report)
    assert render_html(report)


def test_drawn_amounts_have_no_more_digits_than_the_exact_ones() -> None:
    report = backtest(Config(), data())
    drawn = [value for track in (*report.prices, *report.equity) for value in track.y]
    drawn += [mark.y for marks in report.marks.values() for mark in marks]
    for value in drawn:
        assert Decimal(repr(value)) == round(Decimal(repr(value)), 8)
    (name,) = report.marks
    for value in (*report.prices[0].y, *(mark.y for mark in report.marks[name])):
        assert Decimal(repr(value)) == round(Decimal(repr(value)), 4), "prices have four decimals"


def test_a_large_amount_keeps_all_its_digits() -> None:
    """Entered at 100 and left at 120.0001, of 71,225,433.3333 pieces: more digits than a float has."""
    opens = [100.0, 100, 100, 100, 100, 120.0001, 120.0001]
    closes = [10.0, 9, 12, 13, 11, 10, 10]
    first, last = (np.array([round(v * 10_000) for v in one], dtype=np.int64) for one in (opens, closes))
    times = np.arange(1, 8, dtype=np.int64) * DAY_US
    top, bottom = np.maximum(first, last), np.minimum(first, last)
    series = Series("K", times, first, top, bottom, last, first * 0)
    strategy = schema.Strategy(kind="sma_cross", fast=1, slow=2, quantity="71225433.3333")
    config = Config(
        trading=schema.Trading(strategies={"x": strategy}, throttles=()), exec=schema.Exec(commission_bps="0")
    )
    report = backtest(config, Data({"K": series}, Findings(candles=7, symbols={"K": 7}), "by hand"))
    assert report.net == str(Decimal("71225433.3333") * Decimal("20.0001")) == "1424515789.20933333"
    assert report.equity[0].y[-1] == float(report.net)
    assert json.loads(encode_report(report))["net"] == report.net
    assert "1,424,515,789.21" in render_html(report)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1E-8", "0.00000001"), ("20.500", "20.5"), ("100", "100"), ("-0.0", "0"), ("1E+3", "1000")],
)
def test_exact_text_is_plain_and_short(amount: str, text: str) -> None:
    assert exact_text(Decimal(amount)) == text
