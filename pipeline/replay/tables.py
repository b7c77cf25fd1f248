"""The tables of a report, once, as text in cells: the terminal, Markdown and HTML only set them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from pipeline.plotting.tables import Table, count, mebibytes, milliseconds, money, number, rate
from pipeline.replay.golden_path import REFERENCE_MS
from pipeline.replay.report import GoldenStep, PnlLine, Report


def headline(report: Report) -> str:
    """The run in one sentence."""
    if report.ok:
        return (
            f"All {count(report.accepted)} accepted events are audited exactly once and the chain verifies: "
            f"{rate(report.throughput_per_s)} events/s end to end."
        )
    return "The run failed: " + "; ".join(report.faults) + "."


def tables(report: Report) -> list[Table]:
    """In the order of reading. One without rows is left out."""
    found = [
        delivery(report),
        counted("Outcomes", "outcome", report.outcomes, report.rows),
        counted("Denials", "reason", report.denials),
        pnl(report.pnl),
        golden_path(report.golden_path),
        client(report),
        memory(report),
        wall(report),
    ]
    return [table for table in found if table.rows]


def delivery(report: Report) -> Table:
    rows = [
        ("candles planned", count(report.planned)),
        ("accepted (202)", count(report.accepted)),
        ("audited exactly once", count(report.audited)),
        ("missing", count(report.missing)),
        ("audited twice", count(report.doubled)),
        ("repeats answered from the journal", count(report.duplicates)),
        ("orders", count(report.orders)),
        ("fills", count(report.fills)),
        ("workers restarted", count(report.restarts)),
        ("throughput, accepted and audited", f"{rate(report.throughput_per_s)} events/s"),
        ("chain", "verified" if report.chain_verified else f"BROKEN: {report.chain_detail}"),
    ]
    return Table("Delivery", ("", ""), tuple(rows), note=f"Run digest {report.digest or '–'}")


def counted(title: str, word: str, counts: dict[str, int], whole: int = 0) -> Table:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if not whole:
        return Table(title, (word, "count"), tuple((name, count(n)) for name, n in ordered))
    rows = tuple((name, count(n), f"{100 * n / whole:.1f} %") for name, n in ordered)
    return Table(title, (word, "events", "share"), rows)


def pnl(lines: Iterable[PnlLine]) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            line.strategy,
            line.symbol,
            count(line.fills),
            number(line.position),
            money(line.realised),
            money(line.unrealised),
            money(line.commission),
            money(line.net),
        )
        for line in lines
    ]
    if rows:
        rows.append(_total(lines))
    return Table(
        "Profit and loss",
        ("strategy", "symbol", "fills", "position", "realised", "unrealised", "commission", "net"),
        tuple(rows),
        words=2,
        note="Marked at each symbol's last close; net = realised + unrealised − commission.",
        total=True,
    )


def _total(lines: Iterable[PnlLine]) -> tuple[str, ...]:
    every = tuple(lines)
    sums = (
        money(str(sum((Decimal(getattr(line, field)) for line in every), Decimal(0))))
        for field in ("realised", "unrealised", "commission", "net")
    )
    return ("all", "", count(sum(line.fills for line in every)), "", *sums)


def golden_path(steps: Iterable[GoldenStep]) -> Table:
    rows = tuple(
        (
            step.stage,
            step.event,
            count(step.count),
            milliseconds(step.p50_ms),
            milliseconds(step.p95_ms),
            milliseconds(step.p99_ms),
            milliseconds(step.p99_9_ms),
            "–" if step.share_percent is None else f"{step.share_percent:.1f} %",
            "–" if step.reference_ms is None else f"{step.reference_ms:g}",
        )
        for step in steps
    )
    lost = sum(step.lost for step in steps)
    return Table(
        "Golden path, ms",
        ("stage", "event", "count", "p50", "p95", "p99", "p99.9", "budget", "ref."),
        rows,
        words=2,
        note=f"“budget” is the p95 in percent of the reference's {REFERENCE_MS:g} ms, webhook to audit; "
        "“ref.” is what it spends on this step, ms."
        + (f" {count(lost)} records were lost: the tail is understated." if lost else ""),
        total=True,
    )


def client(report: Report) -> Table:
    figures = report.client
    if figures is None:
        return Table("Client", (), ())
    rows = [
        ("sending took", f"{figures.sending_s:.2f} s"),
        ("202 after p50 / p95 / p99 / max", " / ".join(map(milliseconds, _latencies(report))) + " ms"),
        ("CPU an event", "–" if figures.cpu_us_per_event is None else f"{figures.cpu_us_per_event:.0f} µs"),
        ("requests without an answer", count(figures.unconfirmed)),
    ]
    rows += [(f"sent again after {cause}", count(n)) for cause, n in figures.retries.items()]
    return Table("Client", ("", ""), tuple(rows))


def _latencies(report: Report) -> tuple[float | None, ...]:
    figures = report.client
    assert figures is not None
    return figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.max_ms


def memory(report: Report) -> Table:
    rows = [(item.name, mebibytes(item.pss_bytes), mebibytes(item.rss_bytes)) for item in report.memory]
    if rows:
        rows.append(
            (
                "all",
                mebibytes(sum(item.pss_bytes for item in report.memory)),
                mebibytes(sum(item.rss_bytes for item in report.memory)),
            )
        )
    return Table(
        "Memory, MiB",
        ("process", "PSS", "RSS"),
        tuple(rows),
        note="PSS divides shared pages among their users; RSS counts them in every process.",
        total=True,
    )


def wall(report: Report) -> Table:
    times = report.wall
    rows = (
        ("start, until every worker was ready", f"{times.start_s:.2f}"),
        ("replay, first request to last row", f"{times.replay_s:.2f}"),
        ("verification of the chain", f"{times.verify_s:.2f}"),
        ("all", f"{times.total_s:.2f}"),
    )
    return Table("Time, s", ("", "s"), rows, total=True)
