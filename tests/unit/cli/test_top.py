"""`ringline top` on terminals of fixed sizes: what matters is there, and no line is too long."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from pipeline.cli.app import run
from pipeline.cli.top_live import plain, screen_text
from pipeline.cli.top_screen import bars, what
from pipeline.cli.top_stream import View
from pipeline.web.frame import steps_of
from pipeline.web.view import BookView, Frame, LinkView, Point, ReplicaView, Steps
from pipeline.web.viewers import event

SIZES = [24, 40, 60, 80, 120, 200]


def replica(name: str, **changes: Any) -> ReplicaView:
    given: dict[str, Any] = {
        "stage": name.partition("-")[0], "age_ms": 5.0, "lag_ms": 1.25, "depth": 3, "credit": 250,
        "cpu_percent": 7.0, "memory_mb": 24.5, "handled_per_s": 1234.5, "blocked_percent": 0.0,
    } | changes  # fmt: skip
    return ReplicaView(name=name, **given)


def link(receiver: int, **changes: Any) -> LinkView:
    given: dict[str, Any] = {
        "state": "up", "rate_per_s": 10.0, "lag_ms": 0.5, "credit": 256, "free": 250, "in_flight": 6,
        "blocked": False, "age_ms": 10,
    } | changes  # fmt: skip
    return LinkView(sender="gateway-0", receiver=f"agent-{receiver}", **given)


def view(**changes: Any) -> View:
    point = Point(
        number=1,
        at_ms=1,
        count=50,
        lost=2,
        p50_ms=1.5,
        p95_ms=4.25,
        p99_ms=9,
        rate_per_s=10,
        lag_ms=(1, 2, 3),
    )
    frame = Frame(
        number=1, taken_ms=1, sent_ms=1, age_ms=100,
        replicas=(replica("gateway-0"), replica("agent-0", age_ms=9000.0)),
        links=(link(0), link(1, state="down")),
        decisions=({"at": "2026-01-01T00:00:00Z", "sentence": "agent 2 to 3: lag above its limit"},),
    )  # fmt: skip
    line = {
        "symbol": "AAPL", "strategy": "sma", "position": "-100", "net": "-12.34", "realised": "1",
        "unrealised": "2", "fills": 3,
    }  # fmt: skip
    throttle = {
        "scope": {"symbol": "AAPL", "strategy_id": "sma"}, "state": "rate_limited", "remaining_trades": 0,
        "max_trades": 1, "throttle_remaining_notional": None, "retry_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    book = BookView(
        seq=9, head=9, since=1, outcomes={"filled": 4, "held": 0}, denials={"THROTTLE_WINDOW": 2},
        lines=(line,),
        throttles=(throttle,), halted=("AAPL",), halted_count=1, keys=1,
    )  # fmt: skip
    row = {
        "seq": 9, "key": "AAPL", "outcome": "filled", "accepted": "2026-01-01T00:00:00.000000Z",
        "rejected": "",
        "event_id": "ab" * 16, "event": {"type": "candle"}, "legs": [],
        "fills": [{"strategy": "sma", "side": "buy", "quantity": "100", "price": "10.25"}],
    }  # fmt: skip
    steps = Steps(minute=steps_of(()), whole=steps_of(()))
    given: dict[str, Any] = {
        "frame": frame, "book": book, "steps": steps, "points": deque([point]), "rows": [row],
        "heard_s": 1e12,
    }  # fmt: skip
    return View("http://feed", **(given | changes))


@pytest.mark.parametrize("width", SIZES)
def test_every_line_fits_and_what_matters_is_there(width: int) -> None:
    text = screen_text(view(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "gateway-0"[: width // 5] in text
    if width >= 40:
        for told in ("agent-0", "down", "HALTED", "filled 4", "THROTTLE_WINDOW 2", "AAPL", "END_TO_END"):
            assert told in text, told
    if width >= 80:
        for told in (
            "9 s ago",
            "-12.34",
            "rate limited",
            "0/1",
            "of 50, 2 lost",
            "buy 100 at 10.25",
            "agent 2 to 3",
        ):
            assert told in text, told


@pytest.mark.parametrize("width", [48, 76, 110, 120, 150, 200])
def test_no_heading_is_cut_short_from_a_narrow_window_on(width: int) -> None:
    text = screen_text(view(), width)
    assert "verdict" in text
    assert "GATEWAY_RECEIVE" in text
    assert "…" not in text
    assert ("budget" in text) == (width >= 54)


def test_old_data_is_said_to_be_old() -> None:
    shown = view(heard_s=0.0)
    assert shown.stale(5.0)
    assert "STALE" in screen_text(shown, 80)
    assert not view(heard_s=4.0).stale(5.0)
    assert "no data yet" in screen_text(view(frame=None), 80)


def test_a_terminal_of_ascii_gets_ascii() -> None:
    text = plain(screen_text(view(), 120), "ascii")
    assert text.isascii()
    assert "->" in text


def test_many_links_are_one_line_and_those_in_trouble() -> None:
    shown = view()
    assert shown.frame is not None
    many = tuple(link(number, blocked=number == 3) for number in range(20))
    shown.frame = Frame(number=1, taken_ms=1, sent_ms=1, age_ms=1, links=many, replicas=shown.frame.replicas)
    text = screen_text(shown, 100)
    assert "gateway → agent (20)" in text
    assert "gateway-0 → agent-3" in text
    assert "gateway-0 → agent-4" not in text


def test_bars_have_a_blank_where_nothing_was_measured() -> None:
    assert bars([None, 0.0, 8.0]) == " ▁█"
    assert bars([]) == ""


def test_what_happened_in_a_row() -> None:
    row = view().rows[0]
    assert what(row) == "sma buy 100 at 10.25"
    assert what(row | {"rejected": "LATE: x"}) == "LATE: x"
    denied = {"strategy": "sma", "reasons": ["THROTTLE_WINDOW: limit=1"]}
    assert what(row | {"fills": [], "legs": [denied]}) == "sma: THROTTLE_WINDOW: limit=1"
    assert what(row | {"fills": [], "event": {"type": "control", "action": "halt"}}) == "control halt"


def test_a_server_that_began_anew_leaves_a_blank_in_the_bars_and_what_was_before() -> None:
    shown = view(points=deque())
    shown.take("hello", b'{"epoch":"a"}', 1.0)
    shown.take("points", b"[[1,1,1,0,1,1,1,1,[null,null,null]],[2,2,1,0,1,1,1,1,[null,null,null]]]", 1.0)
    assert str(shown.place) == "a:2"
    shown.take("hello", b'{"epoch":"b"}', 1.0)
    assert str(shown.place) == "a:2", "nothing of the new server's was told yet"
    shown.take("points", b"[[3,3,1,0,1,8,1,1,[null,null,null]]]", 1.0)
    assert str(shown.place) == "b:3"
    assert [point.p95_ms for point in shown.points] == [1, 1, None, 8]
    assert "▂▂ █" in screen_text(shown, 120) or "▁▁ █" in screen_text(shown, 120)


class Told(BaseHTTPRequestHandler):
    """A feed that tells one view, and its newest rows. `frames` and `books` come one after the other."""

    frames: ClassVar[list[Frame]] = []
    books: ClassVar[list[BookView]] = []
    rows = b'{"rows":[{"seq":7}]}'

    def do_GET(self) -> None:
        told = view()
        news: list[tuple[str, object]] = [("points", list(told.points)), ("steps", told.steps)]
        news += [("frame", one) for one in (self.frames or (told.frame,))]
        news += [("book", one) for one in (self.books or (told.book,))]
        body = self.rows
        if self.path.startswith("/v1/live"):
            body = b'event: hello\ndata: {"epoch":"a"}\n\n'
            body += b"".join(event(name, msgspec.json.encode(one)) for name, one in news)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is its own."""


def run_top(told: type[Told], words: list[str], tmp_path: Path) -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), told) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        code = run(["top", *words, "--url", url, "--set", f"data_dir={tmp_path}"])
        server.shutdown()
    return code


@pytest.mark.parametrize("once", [[], ["--once"]])
def test_for_programs_all_of_it_is_json(
    once: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_top(Told, ["--json", *once], tmp_path) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frame"]["replicas"][0]["name"] == "gateway-0"
    assert found["points"][0][:3] == [1, 1, 50]
    assert found["rows"] == [{"seq": 7}]
    assert {"book", "steps"} < found.keys()


def test_a_collectors_word_that_is_stale_is_said_to_be_and_exit_code_3(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Old(Told):
        rows = b'{"rows":[]}'
        frames: ClassVar = [
            Frame(number=1, taken_ms=1, sent_ms=1, age_ms=52_000, fault="collector: no answer")
        ]

    assert run_top(Old, ["--once"], tmp_path) == 3
    text = capsys.readouterr().out
    assert "STALE: 52 s old" in text
    assert "collector: no answer" in text


def test_one_view_waits_until_the_audit_is_added_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Slow(Told):
        rows = b'{"rows":[]}'
        books: ClassVar = [
            BookView(seq=3, head=9),
            BookView(seq=9, head=9, keys_due=1),
            BookView(seq=9, head=9, halted_count=1, keys=1),
        ]

    assert run_top(Slow, ["--once"], tmp_path) == 0
    assert "HALTED: 1 of 1 keys" in capsys.readouterr().out


def test_nobody_there_is_exit_code_3_and_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert run(["top", "--once", "--url", url, "--set", f"data_dir={tmp_path}"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "/v1/live: no answer: Connection refused" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_halt_before_the_first_key_is_said() -> None:
    frame = Frame(number=1, taken_ms=1, sent_ms=1, age_ms=1, standing=("halt: before the open",))
    shown = view(frame=frame, book=BookView(), rows=[])
    assert "HALTED for every key that is new: halt: before the open" in screen_text(shown, 80)
