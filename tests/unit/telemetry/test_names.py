"""Events of one's own: a name for an id, understood by whoever reads the ring."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry import event_name, names, open_recorder, register_event
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.layout import NAMES_BYTE, NAMES_BYTES, NAMES_USED, RefusedRingError
from pipeline.telemetry.recorder import RingRecorder
from pipeline.telemetry.ring import create_ring


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_ids", {})
    monkeypatch.setattr(names, "_records", {})


def test_a_name_has_one_id_and_an_id_one_name() -> None:
    checkout, refund = register_event("checkout"), register_event("refund")
    assert (checkout, refund) == (1024, 1025)
    assert register_event("checkout") == checkout
    assert event_name(refund) == "refund"


@pytest.mark.parametrize("wrong", ["", "x" * 65, "a\nb", "GC_PAUSE", "EVENT_2000", "EVENT_0", "(others)"])
def test_a_name_that_cannot_be_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="event"):
        register_event(wrong)


@pytest.mark.parametrize("name", ["EVENT_3", "EVENT_02000", "EVENT_4096", "EVENT_", "EVENT_x", "event_2000"])
def test_a_name_that_no_event_has_is_taken(name: str) -> None:
    assert event_name(register_event(name)) == name


def test_more_names_than_a_header_holds_are_refused() -> None:
    def too_many() -> None:
        for number in range(10_000):
            register_event(f"event number {number}")

    with pytest.raises(ValueError, match="at most"):
        too_many()


def test_two_processes_may_number_their_events_differently(tmp_path: Path) -> None:
    """What each calls 1024 is another event; what both call `refund` is one."""
    one = open_recorder(tmp_path, "web-0", 64)
    one.record(register_event("checkout"), 5)
    one.record(register_event("refund"), 7)
    names._ids.clear()
    names._records.clear()
    other = open_recorder(tmp_path, "web-1", 64)
    assert isinstance(one, RingRecorder)
    one.ring.path = None  # it belongs to another process: what is registered now is not its
    refund = register_event("refund")
    assert refund == 1024
    other.record(refund, 9)
    other.start(refund, 7)
    collector = Collector(tmp_path)
    collector.tick(final=True)
    latencies = collector.aggregate.latencies
    counts = {
        event_name(event): latencies.figures([series], None).count
        for (_, event), series in latencies.series.items()
    }
    assert counts == {"checkout": 1, "refund": 2}
    assert [source.inside(0) for source in collector.sources if source.inside(0)] == [
        ("refund for event 00000007",)
    ]
    collector.close()


def test_names_that_come_later_are_learned(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path, "web-0", 64)
    collector = Collector(tmp_path)
    collector.tick(final=True)
    recorder.record(register_event("late"), 5)
    collector.tick(final=True)
    assert [event_name(event) for _, event in collector.aggregate.latencies.series] == ["late"]
    collector.close()
    recorder.close()


INTERRUPTED = """
import faulthandler, signal, sys, time
from pathlib import Path
from pipeline.telemetry import MetricsCollector, measure, register_event
from pipeline.telemetry.collector import Collector
faulthandler.dump_traceback_later(20, exit=True)
metrics, directory = MetricsCollector(), Path(sys.argv[1])
def interrupt(*_):
    with measure(register_event(f"in a handler {seen % 60}")):
        pass
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
ends, seen = time.monotonic() + 2, 0
while time.monotonic() < ends:
    metrics.publish(directory, "web-0", 64)
    register_event(f"event {seen % 60}")
    seen += 1
signal.setitimer(signal.ITIMER_REAL, 0, 0)
collector = Collector(directory)
collector.tick(final=True)
print(dict(collector.folder.refused))
"""


def test_a_signal_handler_that_records_while_an_event_is_registered_waits_for_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in ran.stderr.splitlines() if "no collector has taken" not in line]
    assert (ran.returncode, ran.stdout, said) == (0, "{}\n", [])


FORKED = """
import os, signal
from pipeline.telemetry import metrics, names
names._lock.acquire()
metrics.MetricsCollector._making.acquire()
import threading
done = []
def fork():  # the locks are held by a thread that the child does not have
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        metrics.MetricsCollector()
        names.register_event("checkout")
        os._exit(0)
    done.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread = threading.Thread(target=fork)
thread.start()
thread.join()
print(done)
"""


def test_a_child_waits_for_no_thread_that_it_has_not() -> None:
    ran = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert ran.stdout == "[0]\n"


@given(records=st.binary(max_size=200))
def test_random_bytes_are_names_or_refused(records: bytes) -> None:
    with suppress(RefusedRingError):
        found = names.parse_names(records)
        again = b"".join(
            event.to_bytes(2, "little") + bytes([len(name.encode())]) + name.encode()
            for event, name in found.items()
        )
        assert again == records


@pytest.mark.parametrize("used", [1, 3, NAMES_BYTES, NAMES_BYTES + 1, 1 << 63])
def test_a_ring_whose_names_cannot_be_is_refused_by_name(tmp_path: Path, used: int) -> None:
    ring = create_ring(tmp_path, "web-0", 64)
    ring.memory[NAMES_BYTE : NAMES_BYTE + 4] = b"\xff" * 4
    ring.words[NAMES_USED] = used
    collector = Collector(tmp_path)
    collector.tick(final=True)
    assert collector.folder.refused == {"bad_names": 1}
    collector.close()
    ring.close()
