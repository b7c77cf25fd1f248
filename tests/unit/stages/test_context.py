from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.clock import FakeClock
from pipeline.config import resolve
from pipeline.delivery import Delivery
from pipeline.errors import MissingError
from pipeline.stages.context import Context
from pipeline.storage.audit import MemoryAuditStore
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import Kind
from pipeline.telemetry.recorder import ListRecorder
from pipeline.telemetry.self_report import SelfReport
from pipeline.transport import wire
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.judge import Judge
from pipeline.transport.outbox import Sent


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    config = resolve(
        {
            "data_dir": str(tmp_path / "data"),
            "telemetry": {"directory": str(tmp_path / "rings")},
            "links": {"credit": 8, "depth": 2},
        }
    )
    made = Context("agent", 3, config, FakeClock())
    yield made
    made.recorder.close()


def test_a_worker_is_named_by_stage_and_ordinal_and_by_its_start(context: Context) -> None:
    assert context.name == "agent-3"
    assert context.boot == context.clock.wall_us()
    assert (context.timing.credit, context.timing.depth) == (8, 2)
    assert context.recorder.on


def test_who_is_not_linked_needs_no_keys_of_the_links(tmp_path: Path) -> None:
    config = resolve(
        {
            "data_dir": str(tmp_path / "data"),
            "telemetry": {"directory": str(tmp_path / "rings")},
            "links": {"key_file": str(tmp_path / "nowhere")},
        }
    )
    with pytest.raises(MissingError, match="nowhere"):
        Context("agent", 0, config, FakeClock())
    made = Context("feed", 0, config, FakeClock(), name="feed", linked=False)
    assert made.link_keys == ()
    made.recorder.close()


def test_its_ring_is_where_the_collector_looks(context: Context) -> None:
    assert any("agent-3" in path.name for path in Path(context.config.telemetry.directory).iterdir())


def test_its_note_is_its_own_and_a_leaving_worker_takes_it_along(context: Context) -> None:
    first = context.in_hand()
    with pytest.raises(MissingError):
        context.in_hand()
    first.note("AAPL", 7)
    first.close()
    second = context.in_hand()
    assert second.died is None
    second.close()


def test_its_note_outlives_its_death_and_names_what_it_died_on(context: Context) -> None:
    folder, name = context.data_dir / "run" / "in-hand", context.name
    code = f"""
import os, pathlib
from pipeline.storage.in_hand import InHand
InHand.open(pathlib.Path({str(folder)!r}), {name!r}).note("AAPL", 7)
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    hand = context.in_hand()
    assert hand.died is not None
    assert hand.died[:2] == ("AAPL", 7)
    hand.close()


def test_malformed_frames_go_below_the_data_directory(context: Context) -> None:
    context.link_meter().malformed(b"junk")
    (path,) = (context.data_dir / "malformed").iterdir()
    assert path.name.startswith("agent-3-")


def gauges(recorder: ListRecorder) -> dict[tuple[int, int], int]:
    return {(e.event_id, e.correlation): e.value for e in recorder.written if e.kind == Kind.GAUGE}


def test_an_audit_reports_how_many_rows_wait(context: Context) -> None:
    context.recorder = recorder = ListRecorder()
    context.self_report = SelfReport(recorder, context.clock)
    store = MemoryAuditStore()
    judge = Judge(context.name, context.boot, store.append, store.tail, context.timing, batch=8)
    session = (1, 1)
    messages: list[wire.Message] = [wire.Hello("exec-0")]
    messages += [wire.Msg(n, Delivery("k", n, b"%d" % n, "s", "w", 0, 0, b"")) for n in (1, 2, 3)]
    judge.from_up(b"x", wire.Frame(session, messages), 0)
    context.reporter(judge, context.link_meter())(5)
    assert gauges(recorder)[EventID.DEPTH, 0] == 3


def test_a_dispatcher_reports_what_is_unsettled_and_who_is_downstream(context: Context) -> None:
    context.recorder = recorder = ListRecorder()
    context.self_report = SelfReport(recorder, context.clock)
    node = Dispatcher(
        "gateway-0", 1, context.timing,
        on_settled=lambda _: None, on_fate=lambda *_: None, on_alarm=lambda _: None,
    )  # fmt: skip
    node.set_members([4])
    node.tick(0)
    (hello,) = [act for act in node.take(0) if isinstance(act, Sent)]
    session = wire.decode_frame(hello.data).session
    node.from_down(4, wire.Frame(session, [wire.Welcome(9, 8, leaving=False)]), 0)
    for key_seq in (1, 2):
        node.enqueue(Delivery("k", key_seq, b"%d" % key_seq, "s", "w", 0, 0, b""), 10)
    node.take(10)
    context.reporter(node, context.link_meter())(50)
    written = gauges(recorder)
    assert written[EventID.DEPTH, 0] == 2
    assert written[EventID.CREDIT, 4] == 6
    assert written[EventID.LAG, 4] == 40
