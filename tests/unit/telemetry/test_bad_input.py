"""Whatever lies in the telemetry directory: refused by a counted name or survived, the others still read."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.clock import FakeClock
from pipeline.telemetry import EventID, layout, open_recorder, reader
from pipeline.telemetry import collector as collecting
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.layout import Identity
from pipeline.telemetry.native import VARIABLE
from pipeline.telemetry.prometheus import as_openmetrics, render
from pipeline.telemetry.reader import PROOF_ATTEMPTS
from pipeline.telemetry.recorder import RingRecorder
from pipeline.telemetry.ring import Ring, create_ring
from pipeline.telemetry.sla import Verdict
from pipeline.telemetry.view import build_snapshot

IDENTITY = ("magic", "version", *Identity._fields)
FIELDS = {name: index * layout.WORD_BYTES for index, name in enumerate(IDENTITY)} | {
    name.removesuffix("_BYTE").lower(): byte
    for name, byte in vars(layout).items()
    if name.endswith("_BYTE") and name not in ("IDENTITY_BYTE", "ENTRIES_BYTE")
}
"""Every field before the entries, by its first byte."""
REASONS = {
    "bad_magic", "other_version", "bad_capacity", "bad_size", "bad_mode", "bad_name", "bad_names",
    "absurd_head", "absurd_dropped", "absurd_removed", "absurd_weight", "absurd_given_up",
}  # fmt: skip
words = st.one_of(
    st.binary(min_size=8, max_size=8),
    st.sampled_from([0, 1, 63, 64, 65, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]).map(
        lambda number: number.to_bytes(8, "little")
    ),
)
near = st.integers(0, 140).map(lambda number: number.to_bytes(8, "little"))
"""Numbers that a head or a tail may well have."""
Life = list[tuple[int, str, bytes]]
"""Of a writer: how many it records, and what is then written over which field of its ring's header."""
LEAST = 1000


def look(collector: Collector, clock: FakeClock) -> None:
    """All that a collector does with what it knows."""
    collector.tick(final=True)
    collector.tick(final=True)
    build_snapshot(collector, clock.monotonic_ns(), clock.wall_us())
    render(collector, clock.monotonic_ns())


def test_every_word_that_the_header_has_is_a_field() -> None:
    drawn = (layout.__doc__ or "").partition("    entry:")[0]
    for name in (
        "magic", "version", "capacity", "mode", "proof", "pid", "process start", "generation", "worker",
        "head", "tail", "dropped seen", "removed seen", "given up", "facts seen", "dropped", "largest weight",
        "removed", "facts dropped", "heartbeat", "closed", "names used", "names", "starts",
    ):  # fmt: skip
        assert name.replace(" ", "_") in FIELDS
    lines = [line for line in drawn.splitlines() if line.strip().split(" ")[0].isdigit()]
    words = [word for line in lines for word in line.partition("line ")[0].split("│") if word.strip()]
    assert len(words) == len(FIELDS) + 1 + 1  # a START has two, and the last line is the entries'


@settings(max_examples=250)
@given(changes=st.dictionaries(st.sampled_from(sorted(FIELDS)), words, min_size=1, max_size=3))
def test_any_bytes_in_any_field_of_a_header(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, bytes]
) -> None:
    directory = tmp_path_factory.mktemp("rings")
    clock = FakeClock()
    good = open_recorder(directory, "agent-0", 64, now=clock.monotonic_ns)
    good.record(EventID.AGENT_DECISION, 5)
    ring = create_ring(directory, "agent-1", 64)
    for number in range(10):
        ring.put(clock.monotonic_ns(), number, 15)
    assert ring.path is not None
    bad = bytearray(ring.path.read_bytes())
    ring.close()
    for field, word in changes.items():
        bad[FIELDS[field] : FIELDS[field] + 8] = word
    (directory / "agent-1.1.ab.ring").write_bytes(bad)
    collector = Collector(directory, now=clock.monotonic_ns)
    look(collector, clock)
    stages = {group for group, _ in collector.aggregate.latencies.series}
    assert "agent" in stages  # the good one was read
    assert set(collector.folder.refused) <= REASONS
    collector.close()
    good.close()
    shutil.rmtree(directory)


ABSURD = (1, 7, 1 << 39, 1 << 47, (1 << 64) - 1)


def harmed(directory: Path, field: str, value: int, *, before: bool) -> tuple[Collector, int]:
    """A collector of a living writer's ring in whose header a word was changed, before it was attached or
    since; and how many were recorded."""
    clock = FakeClock(monotonic_ns=10**12)
    recorder = open_recorder(directory, "web-0", 1024)
    other = open_recorder(directory, "agent-0", 1024)
    assert isinstance(recorder, RingRecorder)
    collector = Collector(directory, now=clock.monotonic_ns)
    if not before:
        collector.tick(final=True)
    recorder.ring.words[FIELDS[field] // layout.WORD_BYTES] = value
    recorded = 0
    for _ in range(12):
        for _ in range(50):
            recorder.record(EventID.ORDER_PLACEMENT, 1000)
            other.record(EventID.ORDER_PLACEMENT, 1000)
            recorded += 1
        clock.advance(ms=200)
        collector.tick()
    collector.tick(final=True)
    recorder.close()
    other.close()
    return collector, recorded


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize("field", ["dropped", "facts_dropped", "removed", "removed_seen", "largest_weight"])
def test_an_absurd_counter_of_a_living_writer_is_named_and_spoils_no_verdict_of_others(
    tmp_path: Path, field: str, value: int, before: bool
) -> None:
    collector, recorded = harmed(tmp_path, field, value, before=before)
    small = field != "removed" and field != "removed_seen" and value <= 7
    assert sum(collector.folder.refused.values()) == (not small)
    assert collector.lost() <= 7
    series = collector.aggregate.latencies.series["agent", EventID.ORDER_PLACEMENT]
    assert int(collector.aggregate.latencies.totals.row(series).sum()) == recorded
    if not small:
        verdicts = {one.verdict for one in collector.results() if one.threshold.event_id == 3}
        assert verdicts == {Verdict.MET}
        name = field.split("_")[0] if field != "largest_weight" else "weight"
        assert set(collector.folder.refused) == {f"absurd_{name.replace('facts', 'dropped')}"}
    collector.close()


@pytest.mark.parametrize("value", ABSURD)
def test_a_living_writers_ring_that_says_it_is_being_removed_is_named_and_drained(
    tmp_path: Path, value: int, caplog: pytest.LogCaptureFixture
) -> None:
    collector, recorded = harmed(tmp_path, "given_up", value, before=True)
    assert dict(collector.folder.refused) == {"absurd_given_up": 1}
    assert caplog.text.count("says that it is being removed") == 1
    totals = collector.aggregate.latencies.totals
    assert sum(int(totals.row(one).sum()) for one in range(2)) == 2 * recorded
    assert collector.lost() == 0
    collector.close()


LIVES = st.lists(
    st.tuples(st.integers(0, 70), st.sampled_from(sorted(FIELDS)), st.one_of(words, near)),
    min_size=1,
    max_size=5,
)


def record_and_harm(ring: Ring, life: Life, takes: int, take: Callable[[], None]) -> int:
    """Records numbers from LEAST on, and changes a word of the header before each take. Returns how many."""
    assert ring.path is not None
    fd, recorded = os.open(ring.path, os.O_RDWR), 0
    for records, field, word in life:
        for _ in range(records):
            recorded += ring.put(1, LEAST + recorded, 15)
        os.pwrite(fd, word, FIELDS[field])
        for _ in range(takes):
            take()
    os.close(fd)
    return recorded


@pytest.mark.parametrize("made_in", ["C", "Python"])
@settings(max_examples=80)
@given(life=LIVES, attached_first=st.booleans())
@example(life=[(2, "tail", b"\xff" * 8), (1, "pid", bytes(8))], attached_first=False)
@example(life=[(2, "tail", b"\xff" * 8), (63, "head", b"\xff" * 8)], attached_first=False)
@example(
    life=[(0, "tail", b"\xff" * 8), (0, "head", b"\xff" * 8), (1, "pid", bytes(8))], attached_first=False
)
def test_any_word_in_any_field_of_the_header_of_a_ring_that_a_living_writer_holds(
    tmp_path_factory: pytest.TempPathFactory, made_in: str, life: Life, attached_first: bool
) -> None:
    """At any time, over several takes: the collector lives, the others are read, and no entry is invented."""
    directory = tmp_path_factory.mktemp("rings")
    clock = FakeClock(monotonic_ns=10**12)
    with pytest.MonkeyPatch.context() as patch:
        if made_in == "Python":
            for module in (reader, collecting):
                patch.setattr(module, "reading", None)
        good = open_recorder(directory, "agent-0", 64, now=clock.monotonic_ns)
        ring = create_ring(directory, "harmed-0", 64)
        collector = Collector(directory, now=clock.monotonic_ns)

        def take() -> None:
            good.record(EventID.AGENT_DECISION, 5)
            clock.advance(ms=100)
            collector.tick()
            build_snapshot(collector, clock.monotonic_ns(), clock.wall_us())

        if attached_first:
            take()
        recorded = record_and_harm(ring, life, PROOF_ATTEMPTS + 1, take)
        look(collector, clock)
    assert set(collector.folder.refused) <= REASONS
    latencies = collector.aggregate.latencies
    read = latencies.figures([latencies.series["agent", EventID.AGENT_DECISION]], 60)
    assert read.count == (PROOF_ATTEMPTS + 1) * len(life) + attached_first
    others = [series for (group, _), series in latencies.series.items() if group != "agent"]
    found = latencies.figures(others, 60)
    assert found.count <= recorded
    assert found.minimum is None or LEAST <= found.minimum <= (found.maximum or 0) < LEAST + recorded
    assert not collector.aggregate.refused
    collector.close()
    good.close()
    ring.close()
    shutil.rmtree(directory)


@settings(max_examples=100)
@given(seed=st.integers(0, 1 << 32), size=st.integers(0, 3 * 4096))
def test_a_file_of_random_bytes(tmp_path_factory: pytest.TempPathFactory, seed: int, size: int) -> None:
    directory = tmp_path_factory.mktemp("rings")
    (directory / "x.1.ab.ring").write_bytes(random.Random(seed).randbytes(size))
    clock = FakeClock()
    collector = Collector(directory, now=clock.monotonic_ns)
    look(collector, clock)
    assert sum(collector.folder.refused.values()) == 1
    collector.close()
    shutil.rmtree(directory)


def test_a_clock_that_stands_still(tmp_path: Path) -> None:
    """Of the writer, of the collector, or both: counts are right, and nothing divides by no time at all."""
    clock = FakeClock()
    recorder = open_recorder(tmp_path, "agent-0", 256, now=clock.monotonic_ns)
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    for _ in range(5):
        for _ in range(20):
            recorder.end(EventID.AGENT_DECISION, recorder.start(EventID.AGENT_DECISION))
        recorder.gauge(EventID.CPU, 5)
        look(collector, clock)
    figures = collector.aggregate.latencies.figures([0], 1)
    assert (figures.count, figures.p99, figures.maximum) == (100, 0, 0)
    collector.close()
    recorder.close()


def _page(directory: Path) -> bytes:
    clock = FakeClock()
    recorders = [
        open_recorder(directory, name, 256, now=clock.monotonic_ns)
        for name in ("gateway-0", "agent-0", "agent-1", 'odd "name"\\-0')
    ]
    for number, recorder in enumerate(recorders):
        for event in (EventID.GATEWAY_RECEIVE, EventID.AGENT_DECISION, EventID.END_TO_END):
            for step in range(30):
                recorder.record(event, 1000 * step * (number + 1))
        for fact in range(32, 45):
            recorder.gauge(fact, 3)
            recorder.count(fact, 3)
    (directory / "foreign").touch()
    collector = Collector(directory, now=clock.monotonic_ns)
    collector.tick(final=True)
    page = render(collector, clock.monotonic_ns())
    collector.close()
    for recorder in recorders:
        recorder.close()
    return page


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_has_nothing_to_say_about_the_metrics(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["promtool", "check", "metrics"], input=_page(tmp_path), capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_openmetrics_is_the_same_page_by_its_own_rules(tmp_path: Path) -> None:
    page = _page(tmp_path).decode()
    lines = as_openmetrics(page.encode()).decode().splitlines()
    assert lines[-1] == "# EOF"
    counters = {line.split()[2] for line in lines if line.startswith("# TYPE ") and line.endswith(" counter")}
    assert counters
    assert not [name for name in counters if name.endswith("_total")]
    samples = [line for line in lines if not line.startswith("#")]
    assert samples == [line for line in page.splitlines() if not line.startswith("#")]
    for name in counters:
        assert any(line.startswith(name + "_total") for line in samples)


def test_exported_bucket_counts_are_exact(tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path, "agent-0", 4096)
    dice = random.Random(1)
    values = [int(2 ** dice.uniform(5, 30)) for _ in range(1000)] + [1 << k for k in range(10, 30)]
    for value in values:
        recorder.record(EventID.AGENT_DECISION, value)
    collector = Collector(tmp_path)
    collector.tick(final=True)
    found = 0
    for line in render(collector, 0).decode().splitlines():
        if line.startswith("ringline_latency_seconds_bucket") and "+Inf" not in line:
            bound = float(line.partition('le="')[2].partition('"')[0])
            assert int(line.split()[-1]) == sum(value <= round(bound * 1e9) for value in values)
            found += 1
    assert found == 28
    collector.close()
    recorder.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_ring_cut_to_nothing_kills_nobody_who_looks_at_it(tmp_path: Path) -> None:
    """In a process of its own: reading beyond the end of a mapped file is a SIGBUS."""
    program = """
import os, sys
from pathlib import Path
from pipeline.telemetry import EventID, open_recorder
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.prometheus import render
from pipeline.telemetry.view import build_snapshot
directory = Path(sys.argv[1])
collector = Collector(directory)
recorders = [open_recorder(directory, f"agent-{number}", 64) for number in range(2)]
collector.tick(final=True)
os.truncate(collector.sources[0].reader.path, 0)
assert collector.urgent
build_snapshot(collector, 1, 1)
render(collector, 1)
collector.tick()
print(dict(collector.folder.refused), len(collector.sources), flush=True)
os._exit(0)  # its own writer's ring is the broken one
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "{'truncated': 1} 1\n"), ran.stderr


@pytest.mark.parametrize("choice", ["", "python"])
def test_rings_cut_short_at_any_instant_kill_no_collector(tmp_path: Path, choice: str) -> None:
    """By another process, as fast as it can, to any length, while a collector drains them without a pause."""
    program = """
import os, random, sys, time
from pathlib import Path
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.ring import create_ring
directory = Path(sys.argv[1])
child = os.fork()
if child == 0:
    dice, until = random.Random(1), time.monotonic() + 3
    while time.monotonic() < until:
        ring = create_ring(directory, "agent-0", 4096)
        for number in range(3000):
            ring.put(number, number, 15)
        time.sleep(dice.random() * 0.003)
        os.truncate(ring.path, dice.choice((0, 100, 4096, 8192, 100_000)))
        ring.abandon()
    os._exit(0)
collector = Collector(directory)
while os.waitpid(child, os.WNOHANG) == (0, 0):
    collector.tick(final=True)
    collector.urgent
collector.tick(final=True)
collector.tick(final=True)
print(collector.folder.refused["truncated"] > 10, collector.aggregate.entries > 0, len(collector.sources))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, VARIABLE: choice},
    )
    assert (ran.returncode, ran.stdout) == (0, "True True 0\n"), ran.stderr[-2000:]


def test_a_file_whose_name_has_more_than_one_line_is_told_on_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a\nb.ring").write_bytes(b"x")
    collector = Collector(tmp_path)
    collector.tick(final=True)
    assert "a\\nb.ring" in caplog.text
    assert "a\nb" not in caplog.text
    collector.close()
