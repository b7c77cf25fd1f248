"""The envelope and its digests: nothing that decides may change without changing them."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery import (
    DIGEST_BYTES,
    ORIGIN,
    Delivery,
    Tail,
    agent_digest,
    decode_delivery,
    encode_delivery,
    exec_digest,
)
from pipeline.messages import Fate

DIGESTS = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
BYTES = st.binary(max_size=40)
SEQUENCES = st.integers(1, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TIMES = st.integers(0, 2**63 - 1)
DELIVERIES = st.builds(
    Delivery,
    key=TEXT.filter(bool),
    key_seq=SEQUENCES,
    event_id=BYTES,
    source=TEXT,
    webhook_id=TEXT,
    accepted_us=st.integers(0, 2**63 - 1),
    fate=st.sampled_from([int(fate) for fate in Fate]),
    payload=BYTES,
    code=TEXT,
    decision=BYTES,
    a_prev=DIGESTS,
    a=DIGESTS,
    agent_state=BYTES,
    fills=BYTES,
    x_prev=DIGESTS,
    x=DIGESTS,
    exec_state=BYTES,
    outcome=TEXT,
    traceparent=TEXT,
    checks=BYTES,
    synced_us=TIMES,
    dispatched_us=TIMES,
    decided_us=TIMES,
    executed_us=TIMES,
    audited_us=TIMES,
)
TOLD = ("checks", "synced_us", "dispatched_us", "decided_us", "executed_us", "audited_us")
"""What is told to people and decides nothing; appended to what came before."""
AGENT = st.tuples(DIGESTS, SEQUENCES, st.sampled_from([0, 1, 2]), BYTES, BYTES)
EXEC = st.tuples(DIGESTS, SEQUENCES, DIGESTS, BYTES)


@given(DELIVERIES)
def test_a_delivery_survives_its_bytes(delivery: Delivery) -> None:
    data = encode_delivery(delivery)
    assert decode_delivery(data) == delivery
    assert encode_delivery(decode_delivery(data)) == data


@given(st.binary(max_size=64))
def test_foreign_bytes_are_one_of_two_errors_and_nothing_else(data: bytes) -> None:
    try:
        decode_delivery(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert data, "nothing is no delivery"


@given(DELIVERIES)
def test_a_delivery_of_a_later_version_is_read_and_of_an_earlier_one_too(delivery: Delivery) -> None:
    fields = msgspec.msgpack.decode(encode_delivery(delivery))
    assert decode_delivery(msgspec.msgpack.encode([*fields, "a field more"])) == delivery
    earlier = decode_delivery(msgspec.msgpack.encode(fields[:8]))
    assert earlier.payload == delivery.payload
    assert earlier.outcome == ""


@pytest.mark.parametrize(
    ("fate", "live"), [(Fate.LIVE, True), (Fate.EXPIRED, False), (Fate.DEAD_LETTERED, False)]
)
def test_a_tombstone_is_not_live(fate: Fate, live: bool) -> None:
    delivery = Delivery("k", 1, b"", "s", "w", 0, fate, b"")
    assert delivery.live is live


@given(AGENT, AGENT)
def test_an_agent_digest_depends_on_each_of_its_inputs(
    left: tuple[bytes, int, int, bytes, bytes], right: tuple[bytes, int, int, bytes, bytes]
) -> None:
    assert (agent_digest(*left) == agent_digest(*right)) == (left == right)


@given(AGENT, st.integers(0, 40), st.integers(0, 40))
def test_moving_bytes_from_payload_to_decision_changes_the_digest(
    words: tuple[bytes, int, int, bytes, bytes], first: int, second: int
) -> None:
    a_prev, key_seq, fate, payload, decision = words
    joined = payload + decision
    cut, other = min(first, len(joined)), min(second, len(joined))
    digests = [agent_digest(a_prev, key_seq, fate, joined[:at], joined[at:]) for at in (cut, other)]
    assert (digests[0] == digests[1]) == (cut == other)


@given(EXEC, EXEC)
def test_an_exec_digest_depends_on_each_of_its_inputs(
    left: tuple[bytes, int, bytes, bytes], right: tuple[bytes, int, bytes, bytes]
) -> None:
    assert (exec_digest(*left) == exec_digest(*right)) == (left == right)


@given(DIGESTS, SEQUENCES, BYTES)
def test_the_two_stages_never_share_a_digest(prev: bytes, key_seq: int, data: bytes) -> None:
    assert agent_digest(prev, key_seq, 0, b"", data) != exec_digest(prev, key_seq, b"", data)


def test_digests_are_what_they_were_when_rows_were_written() -> None:
    """Fixed for ever: a changed digest makes every stored row unverifiable."""
    expected_a = hashlib.sha256(bytes(32) + b"a7,0,2,3;" + b"pp" + b"ddd").digest()
    assert agent_digest(ORIGIN, 7, 0, b"pp", b"ddd") == expected_a
    expected_x = hashlib.sha256(bytes(32) + b"x7,1;" + expected_a + b"f").digest()
    assert exec_digest(ORIGIN, 7, expected_a, b"f") == expected_x
    assert len(expected_a) == DIGEST_BYTES


def test_a_key_without_a_row_starts_at_the_origin() -> None:
    assert Tail("AAPL", 0) == Tail("AAPL", 0, a=ORIGIN, x=ORIGIN, stored_seq=0, rows=())


@given(st.lists(DELIVERIES, max_size=3))
def test_a_tail_survives_its_bytes(rows: list[Delivery]) -> None:
    tail = Tail("k", len(rows), rows=tuple(rows))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(tail), type=Tail) == tail


@given(DELIVERIES)
def test_a_delivery_without_what_was_appended_since_is_read_and_says_that_nothing_was_recorded(
    delivery: Delivery,
) -> None:
    fields = msgspec.msgpack.decode(encode_delivery(delivery))
    older = decode_delivery(msgspec.msgpack.encode(fields[: -len(TOLD)]))
    expected = {name: getattr(delivery, name) for name in delivery.__struct_fields__ if name not in TOLD}
    assert older == Delivery(**expected)
    assert not any(getattr(older, name) for name in TOLD)
    newer = decode_delivery(msgspec.msgpack.encode([*fields, "a field of a later version"]))
    assert newer == delivery


def test_a_row_from_before_traces_is_read() -> None:
    delivery = Delivery("K", 1, b"e", "s", "w", 5, 0, b"p", outcome="filled", traceparent="00-trace")
    fields = msgspec.msgpack.decode(encode_delivery(delivery))
    place = delivery.__struct_fields__.index("traceparent")
    assert fields[place] == "00-trace"
    older = decode_delivery(msgspec.msgpack.encode(fields[:place]))
    assert (older.outcome, older.traceparent) == ("filled", "")
