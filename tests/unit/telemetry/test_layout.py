"""The bytes of a ring, and the refusal of anything else."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.telemetry import layout
from pipeline.telemetry.layout import Identity, RefusedRingError

IDENTITY = Identity(64, 0, 0, 4711, 99, 123_456, "agent-0")


def test_the_offsets_are_those_of_the_drawing() -> None:
    assert [layout.HEAD_BYTE, layout.TAIL_BYTE, layout.DROPPED_BYTE, layout.HEARTBEAT_BYTE] == [
        128,
        256,
        384,
        512,
    ]
    assert (layout.ENTRIES_BYTE, layout.ENTRY_BYTES) == (4096 + 96 * 16, 32)


def test_a_default_ring_takes_four_mebibytes_and_a_page_and_a_half_at_most() -> None:
    assert layout.ring_bytes(limits.DEFAULT_RING_ENTRIES) == 4 * limits.MIB + 4096 + 96 * 16
    assert layout.ring_bytes(limits.DEFAULT_RING_ENTRIES) <= 4_200_000


def test_head_tail_and_dropped_have_a_line_each() -> None:
    lines = [byte // layout.LINE_BYTES for byte in (layout.HEAD_BYTE, layout.TAIL_BYTE, layout.DROPPED_BYTE)]
    assert len(set(lines)) == 3


def test_an_identity_comes_back_from_its_bytes() -> None:
    line = layout.pack_identity(IDENTITY)
    assert len(line) == layout.LINE_BYTES
    assert layout.unpack_identity(line, layout.ring_bytes(64)) == IDENTITY


@pytest.mark.parametrize(
    ("offset", "data", "reason"),
    [
        (0, b"X", "bad_magic"),
        (8, b"\x01", "other_version"),
        (16, b"\x41", "bad_capacity"),
        (16, b"\x80", "bad_size"),
        (24, b"\x07", "bad_mode"),
        (32, b"\x09", "bad_mode"),
        (64, b"\xff", "bad_name"),
        (64, b"\n", "bad_name"),
        (64, bytes(64), "bad_name"),
    ],
)
def test_a_wrong_header_field_is_refused_by_name(offset: int, data: bytes, reason: str) -> None:
    line = bytearray(layout.pack_identity(IDENTITY))
    line[offset : offset + len(data)] = data
    with pytest.raises(RefusedRingError) as refused:
        layout.unpack_identity(bytes(line), layout.ring_bytes(64))
    assert refused.value.reason == reason


@given(st.binary(max_size=200), st.integers(0, 1 << 40))
def test_random_bytes_are_refused_and_never_crash(line: bytes, size: int) -> None:
    with pytest.raises(RefusedRingError):
        layout.unpack_identity(line, size)


@given(st.integers(0, 127), st.integers(0, 255))
def test_one_changed_byte_is_refused_or_read_as_another_plausible_header(offset: int, byte: int) -> None:
    line = bytearray(layout.pack_identity(IDENTITY))
    line[offset] = byte
    with suppress(RefusedRingError):
        found = layout.unpack_identity(bytes(line), layout.ring_bytes(64))
        assert found.capacity == 64
        assert found.worker.isprintable()


@pytest.mark.parametrize("capacity", [0, 63, 65, 32, limits.MAX_RING_ENTRIES * 2])
def test_a_capacity_that_is_no_power_of_two_within_the_limits_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="a power of two"):
        layout.pack_identity(IDENTITY._replace(capacity=capacity))


@pytest.mark.parametrize("worker", ["", "x" * 65])
def test_a_worker_name_must_fit(worker: str) -> None:
    with pytest.raises(ValueError, match="worker name"):
        layout.pack_identity(IDENTITY._replace(worker=worker))
