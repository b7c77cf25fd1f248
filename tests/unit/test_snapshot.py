from __future__ import annotations

import json

import msgspec
import pytest

from pipeline.snapshot import (
    SCHEMA_VERSION,
    Counts,
    Dead,
    Latency,
    Replica,
    Snapshot,
    Stage,
    decode_snapshot,
    encode_snapshot,
)

LATENCY = Latency(event="END_TO_END", window_s=5, count=3, p50_ns=1, p95_ns=2, p99_ns=3, mean_ns=1.5)
COUNTS = Counts(window_s=1, handled=9, blocked_ms=0.5)
SNAPSHOT = Snapshot(
    taken_us=1_700_000_000_000_000,
    uptime_s=12.5,
    stages=(Stage(stage="agent", lag_ms=1.5, depth=2, counts=(COUNTS,), latencies=(LATENCY,)),),
    replicas=(Replica(stage="agent", ordinal=0, name="agent-0", age_ms=10, credit=5, counts=(COUNTS,)),),
    latencies=(LATENCY,),
    totals=(LATENCY,),
    outcomes={"filled": 2},
    lost=1,
    dead=(Dead(name="exec-0", pid=7, silent_ms=250, inside=("FILL_GENERATION",)),),
)


def test_a_snapshot_survives_its_bytes() -> None:
    assert decode_snapshot(encode_snapshot(SNAPSHOT)) == SNAPSHOT


def test_it_is_json_and_says_its_version() -> None:
    assert json.loads(encode_snapshot(SNAPSHOT))["schema"] == SCHEMA_VERSION == 1


def test_what_was_not_measured_is_null_and_not_zero() -> None:
    nothing = json.loads(msgspec.json.encode(Latency(event="GC_PAUSE", window_s=1, count=0)))
    assert nothing["p95_ns"] is None
    replica = Replica(stage="gateway", ordinal=0, name="gateway-0", age_ms=0)
    assert (replica.lag_ms, replica.cpu_percent) == (None, None)


def test_a_field_from_a_later_version_is_passed_over() -> None:
    later = json.loads(encode_snapshot(SNAPSHOT)) | {"weather": "fine"}
    assert decode_snapshot(json.dumps(later).encode()) == SNAPSHOT


def test_a_snapshot_of_an_earlier_version_reads_with_defaults() -> None:
    earlier = {"taken_us": 1, "uptime_s": 1, "stages": [], "replicas": [], "latencies": []}
    assert decode_snapshot(json.dumps(earlier).encode()).dead == ()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"schema": 1}'])
def test_what_is_no_snapshot_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_snapshot(data)
