"""Prometheus text: parsed back, and compared with what was recorded."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from pipeline.clock import FakeClock
from pipeline.telemetry import EventID, names, open_recorder, register_event
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.layout import NAMES_BYTE, NAMES_USED
from pipeline.telemetry.prometheus import labels, render
from pipeline.telemetry.recorder import RingRecorder

SAMPLE = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$')
FAMILY_END = re.compile(r"_(bucket|sum|count)$")


@pytest.fixture
def page(tmp_path: Path) -> str:
    clock = FakeClock(monotonic_ns=10**12)
    recorder = open_recorder(tmp_path, "agent-0", 4096, now=clock.monotonic_ns)
    for value in np.random.default_rng(3).lognormal(14, 2, 2000).astype(int).tolist():
        recorder.record(EventID.AGENT_DECISION, value)
    recorder.record(EventID.GC_PAUSE, 1024)
    recorder.record(EventID.GC_PAUSE, 1023)
    recorder.count(EventID.HANDLED, 7)
    recorder.count(EventID.BLOCKED, 2_500_000_000)
    recorder.count(EventID.OUTCOME, 3, 0)
    recorder.count(2000, 9)
    recorder.gauge(EventID.LAG, 1_500_000_000, 2)
    recorder.gauge(EventID.CPU, 3_000_000_000)
    recorder.gauge(EventID.MEMORY, 123)
    (tmp_path / "foreign").touch()
    collector = Collector(tmp_path, now=clock.monotonic_ns)
    collector.tick(final=True)
    text = render(collector, clock.monotonic_ns()).decode()
    collector.close()
    recorder.close()
    return text


def samples(page: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for line in page.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            found[match[1]][match[2] or ""] = float(match[3])
    return found


def test_every_family_is_described_typed_and_named_by_convention(page: str) -> None:
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    helps = re.findall(r"^# HELP (\S+) \S.*\.$", page, re.MULTILINE)
    assert sorted(helps) == sorted(types)
    for name in samples(page):
        family = name if name in types else FAMILY_END.sub("", name)
        assert family in types
        assert (types[family] == "counter") == family.endswith("_total")
        assert not re.search(r"_(ms|ns|us|milliseconds|percent)(_|$)", family)
    assert page.endswith("\n")
    assert "\n\n" not in page


def test_buckets_are_cumulative_and_exact(page: str) -> None:
    values = np.random.default_rng(3).lognormal(14, 2, 2000).astype(int)
    found = samples(page)
    buckets = {
        float(text.split('le="')[1].rstrip('"')): count
        for text, count in found["ringline_latency_seconds_bucket"].items()
        if "AGENT_DECISION" in text
    }
    assert len(buckets) == 29
    for bound, count in buckets.items():
        assert count == (values / 1e9 <= bound).sum()
    whole = 'stage="agent",event="AGENT_DECISION"'
    assert found["ringline_latency_seconds_count"][whole] == 2000
    assert found["ringline_latency_seconds_sum"][whole] == pytest.approx(values.sum() / 1e9)


def test_a_bound_includes_the_value_it_names(page: str) -> None:
    found = samples(page)["ringline_latency_seconds_bucket"]
    assert found['stage="agent",event="GC_PAUSE",le="1.023e-06"'] == 1
    assert found['stage="agent",event="GC_PAUSE",le="2.047e-06"'] == 2


def test_counters_and_gauges_come_in_base_units(page: str) -> None:
    found = samples(page)
    worker = 'stage="agent",worker="agent-0"'
    assert found["ringline_handled_total"][worker] == 7
    assert found["ringline_blocked_seconds_total"][worker] == 2.5
    assert found["ringline_worker_cpu_seconds_total"][worker] == 3
    assert found["ringline_worker_memory_bytes"][worker] == 123
    assert found["ringline_lag_seconds"] == {'stage="exec",worker="exec-2"': 1.5}
    assert found["ringline_outcomes_total"] == {'worker="agent-0",outcome="filled"': 3}
    assert found["ringline_events_total"] == {'worker="agent-0",event="EVENT_2000"': 9}
    assert found["ringline_files_refused_total"] == {'reason="foreign_name"': 1}


def test_label_values_are_escaped() -> None:
    assert labels(("a", 'x"\\\n')) == '{a="x\\"\\\\\\n"}'


def test_nothing_is_told_twice_by_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a ring calls its events."""
    monkeypatch.setattr(names, "_ids", {})
    monkeypatch.setattr(names, "_records", {})
    recorder = open_recorder(tmp_path, "web-0", 64)
    assert isinstance(recorder, RingRecorder)
    told = {1024: "ORDER_PLACEMENT", 1025: "a", 1026: "a", 1027: "EVENT_2000", 1028: "(others)"}
    records = b"".join(
        number.to_bytes(2, "little") + bytes([len(name)]) + name.encode() for number, name in told.items()
    )
    recorder.ring.memory[NAMES_BYTE : NAMES_BYTE + len(records)] = records
    recorder.ring.words[NAMES_USED] = len(records)
    unnamed = open_recorder(tmp_path, "web-1", 64)
    assert isinstance(unnamed, RingRecorder)
    recorder.ring.path = unnamed.ring.path = None  # they belong to other processes
    assert register_event("a") == 1024  # what this process calls it says nothing of others
    for event_id in (EventID.ORDER_PLACEMENT, 2000, *told):
        recorder.record(event_id, 5)
    unnamed.record(1024, 5)
    collector = Collector(tmp_path)
    collector.tick(final=True)
    page = render(collector, 10**18).decode()
    counted = [line for line in page.splitlines() if line.startswith("ringline_latency_seconds_count")]
    assert sorted(line.split('event="')[1] for line in counted) == [
        'EVENT_1024"} 1',
        'EVENT_2000"} 2',
        'ORDER_PLACEMENT"} 2',
        'a"} 2',
    ]
    assert collector.aggregate.refused == {"event_out_of_range": 1}
    collector.close()
    recorder.close()
