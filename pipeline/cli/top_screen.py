"""What `ringline top` draws: tables that leave out columns and rows as the terminal gets smaller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli.top_fit import fit
from pipeline.cli.top_stream import STALE_MS, View
from pipeline.web.view import BookView, Frame, LinkView, StepView

BROAD, WIDE, MEDIUM, NARROW = 150, 110, 76, 54
"""Columns from which there are two whole halves side by side, two halves, all columns of a table, and the
budget beside each step."""
MOST_LINKS = 8
NOTHING = "–"
_BARS = "▁▂▃▄▅▆▇█"
_TONES = {
    "filled": "green", "placed": "green", "rejected": "yellow", "expired": "red", "dead_lettered": "red",
}  # fmt: skip


def screen(view: View, width: int, now_s: float, height: int | None = None) -> Group:
    """Everything, in `width` columns; in `height` lines, what matters least is left out."""
    parts: list[RenderableType] = [header(view, now_s)]
    frame, book = view.frame, view.book
    style = "dim" if view.stale(now_s) else ""
    if frame is not None:
        parts += [stages_table(frame, width, style), links_table(frame, width, style)]
        parts.append(latency_line(view, width))
        halves = width >= WIDE and book is not None
        golden = _golden(view, NARROW if halves and width < BROAD else width, style)
        if halves and book is not None:
            rest = width - 60  # beside the golden path
            grid = Table.grid(padding=(0, 3), expand=False)
            grid.add_row(golden, Group(positions_table(book, rest), throttles_table(book, rest)))
            parts.append(grid)
        else:
            parts.append(golden)
            if book is not None:
                parts += [positions_table(book, width), throttles_table(book, width)]
    if book is not None:
        parts.append(counts_lines(book))
    if frame is not None and frame.decisions:
        parts.append(Text("\n".join(f"{one['at']} {one['sentence']}" for one in frame.decisions[:3])))
    room = 12 if height is None or height > 60 else 6
    parts.append(events_table(view.rows[:room], width))
    return Group(*parts)


def header(view: View, now_s: float) -> Text:
    """Where it is from, how old it is, and what is wrong."""
    age_ms = view.age_ms(now_s)
    text = Text("Ringline ", style="bold")
    text.append(f"{view.url}  ", style="not bold")
    if age_ms is None:
        text.append("no data yet", style="red")
    elif age_ms > STALE_MS:
        text.append(f"STALE: {age_ms / 1000:.0f} s old", style="bold red")
    else:
        text.append(f"live, {age_ms / 1000:.1f} s old", style="green")
    if view.book is not None and view.book.halted_count:
        text.append(f"  HALTED: {view.book.halted_count} of {view.book.keys} keys", style="bold red")
    for told in view.frame.standing if view.frame is not None else ():
        text.append(f"\nHALTED for every key that is new: {told}", style="bold red")
    reason = view.fault or (view.frame.fault if view.frame is not None else "")
    reason = reason or (view.book.away if view.book is not None else "")
    if reason:
        text.append(f"\n{reason}", style="red")
    for died in view.frame.dead if view.frame is not None else ():
        text.append(f"\n{died}", style="red")
    return text


def stages_table(frame: Frame, width: int, style: str = "") -> Table:
    """Every worker, stage by stage."""
    table = _table("worker", "*events/s", "*lag ms", "*depth", style=style)
    if width >= 60:
        _columns(table, "*blocked %", "*CPU %")
    if width >= MEDIUM:
        _columns(table, "*MB", "*credit", "last sign")
    for one in frame.replicas:
        silent = one.age_ms > 5_000
        cells = [one.name, _number(one.handled_per_s, 1), _ms(one.lag_ms), str(one.depth)]
        if width >= 60:
            cells += [_number(one.blocked_percent), _number(one.cpu_percent)]
        if width >= MEDIUM:
            sign = f"{one.age_ms / 1000:.0f} s ago" if silent else "now"
            cells += [_number(one.memory_mb), _number(one.credit), sign]
        table.add_row(*cells, style="red" if silent else "yellow" if one.blocked_percent >= 50 else None)
    return fit(table, width, ("CPU %", "depth"), whole=("worker",))


def links_table(frame: Frame, width: int, style: str = "") -> Table:
    """Every link; where there are many, one line for all between two stages, and those in trouble."""
    table = _table("link", "state", "*msg/s", "*oldest ms", style=style)
    if width >= 60:
        _columns(table, "*in flight", "*credit")
    many = len(frame.links) > MOST_LINKS
    if many:
        pairs = sorted(frame.links, key=_pair)
        for pair, links in groupby(pairs, key=_pair):
            _add_link(table, pair, list(links), width)
    for link in frame.links:
        if not many or link.blocked or link.state != "up":
            _add_link(table, f"{link.sender} → {link.receiver}", [link], width)
    return fit(table, width, ("in flight", "oldest ms", "credit"), whole=("link",))


def _pair(link: LinkView) -> str:
    return f"{link.sender.partition('-')[0]} → {link.receiver.partition('-')[0]}"


def _add_link(table: Table, name: str, links: Sequence[LinkView], width: int) -> None:
    states = {"blocked" if link.blocked else link.state for link in links}
    rates = [link.rate_per_s for link in links if link.rate_per_s is not None]
    lags = [link.lag_ms for link in links if link.lag_ms is not None]
    count = f" ({len(links)})" if len(links) > 1 else ""
    cells = [name + count, ", ".join(sorted(states)), _number(sum(rates) if rates else None, 1)]
    cells.append(_ms(max(lags) if lags else None))
    if width >= 60:
        free, credit = sum(link.free for link in links), sum(link.credit for link in links)
        cells += [str(sum(link.in_flight for link in links)), f"{free}/{credit}"]
    table.add_row(*cells, style=None if states == {"up"} else "red")


def latency_line(view: View, width: int) -> Text:
    """The last point in words, and the p95 of those before as bars."""
    if not view.points:
        return Text("accept → settled: nothing measured yet", style="dim")
    last = view.points[-1]
    words = (
        f"accept → settled (5 s): p50 {_ms(last.p50_ms)}, p95 {_ms(last.p95_ms)}, p99 {_ms(last.p99_ms)} ms"
    )
    words += f" of {last.count}, {last.lost} lost" if last.count or last.lost else ""
    text = Text(words)
    room = width - len(words) - 8
    if room >= 10:
        text.append("  p95 " + bars([point.p95_ms for point in view.points][-room:]), style="cyan")
    return text


def bars(values: Iterable[float | None]) -> str:
    """A bar a value, the highest one full; a blank where there is none."""
    found = list(values)
    top = max((value for value in found if value is not None), default=0.0) or 1.0
    last = len(_BARS) - 1
    return "".join(" " if value is None else _BARS[min(last, int(value / top * last))] for value in found)


def golden_table(steps: Iterable[StepView], width: int, style: str = "") -> Table:
    """The golden path beside its budgets."""
    budgeted = ("*budget",) if width >= NARROW else ()
    table = _table("step", "*p95 ms", *budgeted, "verdict", "*count", style=style)
    if width >= 60:
        _columns(table, "*lost", "*p50 ms", "*p99 ms")
    for step in steps:
        budget = [_number(step.budget_ms)] if budgeted else []
        cells = [
            step.event,
            _ms(step.p95_ms),
            *budget,
            step.verdict if step.budget_ms is not None else NOTHING,
            f"{step.count:,}",
        ]
        if width >= 60:
            cells += [str(step.lost), _ms(step.p50_ms), _ms(step.p99_ms)]
        table.add_row(*cells, style="red" if step.verdict == "over" else None)
    return fit(table, width, ("p50 ms", "p99 ms", "lost", "verdict"), whole=("step", "verdict"))


def positions_table(book: BookView, width: int, most: int = 10) -> Table:
    """Positions with profit and loss, the first by name."""
    table = _table("key", "strategy", "*position", "*net")
    if width >= 60:
        _columns(table, "*realised", "*unrealised", "*fills")
    for line in book.lines[:most]:
        cells = [line["symbol"], line["strategy"], line["position"], line["net"]]
        if width >= 60:
            cells += [line["realised"], line["unrealised"], str(line["fills"])]
        table.add_row(*cells, style="red" if line["net"].startswith("-") else None)
    if more := len(book.lines) - most + book.lines_left_out:
        table.caption = f"and {more} more" if more > 0 else None
    return fit(table, width, ("fills", "unrealised", "realised", "position"))


def throttles_table(book: BookView, width: int, most: int = 6) -> Table:
    """The throttles that hold first."""
    table = _table("throttle of", "state", "*left")
    if width >= 60:
        _columns(table, "retry at")
    for one in book.throttles[:most]:
        scope = one["scope"]
        left = NOTHING
        if one["remaining_trades"] is not None:
            left = f"{one['remaining_trades']}/{one['max_trades']}"
        elif one["throttle_remaining_notional"] is not None:
            left = one["throttle_remaining_notional"]
        of = f"{scope['symbol'] or 'all'} {scope['strategy_id'] or 'all'}"
        cells = [of, one["state"].replace("_", " "), left]
        if width >= 60:
            cells.append((one["retry_at"] or NOTHING)[:19].replace("T", " "))
        table.add_row(*cells, style=None if one["state"] == "open" else "yellow")
    return fit(table, width, ("retry at",), whole=("retry at",))


def counts_lines(book: BookView) -> Text:
    """Outcomes and denials."""
    outcomes = ", ".join(f"{name} {count:,}" for name, count in book.outcomes.items() if count)
    denials = ", ".join(f"{code} {count:,}" for code, count in list(book.denials.items())[:6])
    text = Text(f"outcomes: {outcomes or 'none yet'}\ndenied: {denials or 'nothing'}")
    if book.seq < book.head:
        text.append(f"\nadded up to row {book.seq:,} of {book.head:,}", style="dim")
    if book.keys_due:
        text.append(f"\nhalts and throttles of {book.keys_due:,} keys are still being read", style="dim")
    return text


def events_table(rows: Sequence[dict[str, Any]], width: int) -> Table:
    """The newest rows."""
    table = _table("*row", "key", "outcome")
    if width >= MEDIUM:
        _columns(table, "accepted (UTC)", "event")
    _columns(table, "what")
    for row in rows:
        cells = [f"{row['seq']:,}", row["key"], row["outcome"]]
        if width >= MEDIUM:
            cells += [row["accepted"][:23].replace("T", " "), row["event_id"][:8]]
        cells.append(what(row))
        table.add_row(*cells, style=_TONES.get(row["outcome"]))
    return fit(table, width, ("event", "accepted (UTC)", "row"), whole=("accepted (UTC)", "event", "outcome"))


def what(row: dict[str, Any]) -> str:
    """What happened in a row, in a few words."""
    if "unreadable" in row:
        return f"unreadable: {row['unreadable']}"
    if row["rejected"]:
        return str(row["rejected"])
    told = [f"{one['strategy']} {one['side']} {one['quantity']} at {one['price']}" for one in row["fills"]]
    told += [f"{leg['strategy']}: {'; '.join(leg['reasons'])}" for leg in row["legs"] if leg["reasons"]]
    return " · ".join(told) or " ".join(
        row["event"][name] for name in ("type", "action", "side") if name in row["event"]
    )


def _golden(view: View, width: int, style: str) -> Table:
    """The last minute's golden path, or, where that was quiet, the whole one."""
    minute, whole = (view.steps.minute, view.steps.whole) if view.steps is not None else ((), ())
    table = golden_table(whole if _quiet(minute) else minute, width, style)
    table.title = "golden path, since the start" if _quiet(minute) else "golden path, 60 s"
    return table


def _quiet(steps: Iterable[StepView]) -> bool:
    return not any(step.count for step in steps)


def _table(*headings: str, style: str = "") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), style=style, title_justify="left")
    _columns(table, *headings)
    return table


def _columns(table: Table, *headings: str) -> None:
    """With a star before the heading, numbers: to the right."""
    for heading in headings:
        right = heading.startswith("*")
        table.add_column(
            heading.removeprefix("*"), justify="right" if right else "left", no_wrap=True,
            overflow="ellipsis", header_style="bold",
        )  # fmt: skip


def _number(value: float | None, digits: int = 0) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.2f}" if value < 10 else f"{value:,.0f}"
