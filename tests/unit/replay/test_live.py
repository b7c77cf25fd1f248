from __future__ import annotations

import io

from rich.console import Console

from pipeline.clock import FakeClock
from pipeline.replay.live import LineWatch, TerminalWatch, open_watch
from pipeline.replay.view import View, line, screen
from pipeline.snapshot import Snapshot

VIEW = View("replaying", 3.2, 12_154, 4_000, 3_990, 1234.5, 1230.0, repeated=1, retried=2)


def console(*, terminal: bool = False, kind: str = "xterm") -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=120,
        color_system="standard",
        _environ={"TERM": kind},
    )


def written(target: Console) -> str:
    file = target.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_line_tells_progress_rates_lag_and_latency(snapshot: Snapshot) -> None:
    text = line(VIEW._replace(snapshot=snapshot))
    for part in (
        "4,000 of 12,154 accepted",
        "3,990 audited",
        "1,230/s",
        "agent 3.25",
        "2 sent again",
        "p95 2.00",
    ):
        assert part in text
    assert "\n" not in text


def test_a_line_without_a_snapshot_or_a_plan_is_still_a_line() -> None:
    assert "of" not in line(VIEW._replace(planned=None)).split("accepted")[0].split(":")[1]


def test_the_screen_shows_stages_latencies_and_outcomes(snapshot: Snapshot) -> None:
    target = console()
    target.print(screen(VIEW._replace(snapshot=snapshot, notes=("agent-0 [killed]",))))
    text = written(target)
    for part in (
        "gateway",
        "200",
        "41 %",
        "END_TO_END",
        "AGENT_DECISION",
        "held 900",
        "agent-0 [killed]",
        "1 %",
    ):
        assert part in text


def test_the_screen_needs_no_snapshot() -> None:
    target = console()
    target.print(screen(VIEW))
    assert "4,000 / 12,154" in written(target)


def test_lines_come_every_other_second_and_with_each_phase() -> None:
    target, clock = console(), FakeClock()
    watch = LineWatch(target, clock)
    for _ in range(9):
        watch.update(VIEW)
        clock.advance(s=0.5)
    watch.update(VIEW._replace(phase="settling"))
    assert written(target).count("replaying") == 3
    assert written(target).count("settling") == 1


def test_what_workers_say_is_shown_as_it_is() -> None:
    target = console()
    watch = LineWatch(target, FakeClock())
    watch.say("agent-0 [bold]died[/bold]")
    watch.close()
    assert "agent-0 [bold]died[/bold]" in written(target)


def test_on_a_terminal_the_view_is_drawn_in_place_and_notes_stay(snapshot: Snapshot) -> None:
    target = console(terminal=True)
    watch = open_watch(target, FakeClock())
    assert isinstance(watch, TerminalWatch)
    watch.say("agent-0 killed by SIGKILL")
    watch.update(VIEW._replace(snapshot=snapshot))
    watch.close()
    watch.close()
    assert written(target).rstrip().endswith("agent-0 killed by SIGKILL\x1b[0m")


def test_a_plain_view_can_be_asked_for_on_a_terminal() -> None:
    assert isinstance(open_watch(console(terminal=True), FakeClock(), plain=True), LineWatch)
    assert isinstance(open_watch(console(), FakeClock()), LineWatch)


def test_a_dumb_terminal_gets_lines() -> None:
    assert isinstance(open_watch(console(terminal=True, kind="dumb"), FakeClock()), LineWatch)
