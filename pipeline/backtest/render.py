"""A backtest's report as tables, plots and one HTML page."""

from __future__ import annotations

from decimal import Decimal

from pipeline.backtest.report import POINTS, Report, Track
from pipeline.backtest.times import day_text
from pipeline.plotting import svg
from pipeline.plotting.page import page
from pipeline.plotting.tables import Table, count, money, number


def headline(report: Report) -> str:
    made = f"{Decimal(report.net):+,.2f} net"
    if report.total_return is not None:
        made += f" ({percent(report.total_return)} of {report.capital:,.2f}, {report.capital_basis})"
    return f"{count(report.trades)} trades on {count(report.candles)} candles: {made}."


def tables(report: Report) -> list[Table]:
    """In the order of reading. One without rows is left out."""
    found = [_result(report), _lines(report), _denials(report), _throttle(report), _data(report)]
    return [table for table in found if table.rows]


def render_html(report: Report) -> str:
    return page(
        f"Ringline backtest of {report.source}",
        headline(report),
        f"{report.start} to {report.end}; fill policy {report.policy}, "
        f"commission {report.commission_bps} bps, slippage {report.slippage_bps} bps.",
        tables(report),
        plots(report),
        f"Run digest {report.digest}.",
        good=True,
    )


def plots(report: Report) -> list[tuple[str, str]]:
    """(title, SVG) of equity, drawdown and each symbol's price with its trades."""
    found = [("Equity: net profit and loss", _drawn(report.equity, "Equity"))]
    if report.falls is not None:
        found.append(("Drawdown, % of the peak of capital + net", _drawn((report.falls,), "Drawdown")))
    for track in report.prices:
        marks = [
            svg.Mark(mark.x, mark.y, up=mark.buy, tip=f"{day_text(mark.x)} {mark.text}")
            for mark in report.marks.get(track.name, ())
        ]
        shown = f"; {POINTS} evenly taken fills at most" if len(marks) >= POINTS // 2 else ""
        found.append((f"Trades of {track.name}: ▲ buys, ▼ sells{shown}", _drawn((track,), track.name, marks)))
    return [(title, drawing) for title, drawing in found if drawing]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"


def _drawn(tracks: tuple[Track, ...], title: str, marks: list[svg.Mark] | None = None) -> str:
    return svg.lines(
        [svg.Line(track.name, track.x, track.y) for track in tracks],
        x_text=lambda value: day_text(int(value)),
        y_text=lambda value: f"{value:,.6g}",
        title=title,
        marks=marks or (),
    )


def _result(report: Report) -> Table:
    ratio = "–" if report.sharpe is None else f"{report.sharpe:.2f}"
    rows = [
        ("net profit and loss", money(report.net)),
        (f"return on {report.capital:,.2f} ({report.capital_basis})", percent(report.total_return)),
        ("deepest drawdown", f"{report.drawdown:,.2f} ({percent(report.drawdown_share)})"),
        (f"Sharpe ratio, annualised, of {count(report.sharpe_returns)} returns", ratio),
        ("exposure, share of candles with a position", percent(report.exposure)),
        ("trades (round trips)", count(report.trades)),
        ("orders", count(report.orders)),
        ("fills", count(report.fills)),
        ("legs denied", count(report.denied)),
        ("candles rejected", count(report.rejected)),
        ("fill policy", report.policy),
        ("path", report.path + "".join(f"; {name}: {why}" for name, why in report.slow.items())),
    ]
    return Table(
        "Result", ("", ""), tuple(rows), note=f"Sharpe: {report.sharpe_source}. Run digest {report.digest}"
    )


def _lines(report: Report) -> Table:
    rows = tuple(
        (
            line.strategy,
            line.symbol,
            count(line.trades),
            number(line.position),
            money(line.realised),
            money(line.unrealised),
            money(line.commission),
            money(line.net),
            f"{line.drawdown:,.2f}",
            percent(line.exposure),
        )
        for line in report.lines
    )
    columns = (
        "strategy", "symbol", "trades", "position", "realised", "unrealised", "commission", "net",
        "drawdown", "exposure",
    )  # fmt: skip
    return Table("Profit and loss", columns, rows, words=2)


def _denials(report: Report) -> Table:
    rows = tuple((name, count(times)) for name, times in report.denials.items())
    return Table("Denials by rule", ("rule", "count"), rows)


def _throttle(report: Report) -> Table:
    free = report.throttle
    if free is None:
        return Table("", (), ())
    cost = Decimal(free.cost)
    word = "cost" if cost >= 0 else "saved"
    rows = (
        ("with throttles", count(report.trades), count(report.fills), money(report.net)),
        ("without", count(free.trades), count(free.fills), money(free.net)),
        (f"throttles {word}", "", "", f"{abs(cost):,.2f}"),
    )
    return Table("Throttles", ("", "trades", "fills", "net"), rows, total=True)


def _data(report: Report) -> Table:
    findings = report.findings
    rows = [(symbol, f"{count(candles)} candles") for symbol, candles in report.symbols.items()]
    if findings.duplicates:
        rows.append(("duplicates dropped", count(findings.duplicates)))
    if findings.gaps:
        rows.append(("gaps", count(findings.gaps)))
        rows += [("longest gap" if index == 0 else "", text) for index, text in enumerate(findings.longest)]
    rows += [("note", note) for note in findings.notes]
    return Table(f"Data: {report.source}, {report.start} to {report.end}", ("", ""), tuple(rows))
