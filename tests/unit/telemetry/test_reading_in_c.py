"""The reading side's steps in C: what they take is what Python takes, and the rest they leave to it."""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.telemetry import native
from pipeline.telemetry.layout import (
    DROPPED_BYTE,
    ENTRIES_BYTE,
    ENTRY_WORDS,
    FACTS_DROPPED_BYTE,
    HEAD_BYTE,
    NAMES_USED_BYTE,
    TAIL,
    Identity,
    Mode,
    Proof,
    ring_bytes,
)
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring_words import FileWords
from pipeline.telemetry.writer import make_put

CAPACITY = 16
LIMIT = 1000
found = native.load_reading("")
pytestmark = pytest.mark.skipif(native.reading is None, reason="the C extension is not in use")


class Space:
    """A ring of bytes in a file, with a writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(ring_bytes(CAPACITY)))
        self.fd = os.open(path, os.O_RDWR)
        self.memory = mmap.mmap(self.fd, ring_bytes(CAPACITY))
        view = memoryview(self.memory)
        self.put = make_put(view.cast("Q"), view[ENTRIES_BYTE:], CAPACITY, Mode.DROP_NEWEST, Proof.SEQUENCE)
        self.words = view.cast("Q")

    def look(self) -> object:
        assert found is not None
        return found.Look(self.fd, CAPACITY)

    def reader(self) -> RingReader:
        identity = Identity(CAPACITY, Mode.DROP_NEWEST, Proof.SEQUENCE, 1, 1, 1, "w")
        return RingReader(FileWords(os.dup(self.fd), CAPACITY), identity, self.path)

    def poke(self, byte: int, word: int) -> None:
        os.pwrite(self.fd, word.to_bytes(8, "little"), byte)


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    one = Space(tmp_path / "one.ring")
    yield one
    os.close(one.fd)


def rows() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.zeros((64, ENTRY_WORDS), dtype=np.int64)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bursts=st.lists(
        st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 2 * LIMIT)), max_size=CAPACITY + 3),
        max_size=12,
    ),
    at=st.integers(0, 3),
)
def test_c_takes_what_python_takes(tmp_path: Path, bursts: list[list[tuple[int, int]]], at: int) -> None:
    one, other = Space(tmp_path / "one.ring"), Space(tmp_path / "other.ring")
    in_c, in_python = one.reader(), other.reader()
    for burst in bursts:
        for end, value in burst:
            assert one.put(end, value, 15) == other.put(end, value, 15)
        into, expected = rows(), rows()
        count, slow = in_c.take(into.data.cast("B"), at, LIMIT)
        if count < 0:  # something was dropped: Python's
            drained = in_c.drain(into[at:])
            assert drained.dropped
            count, slow = drained.kept, bool((into[at : at + drained.kept, 1] >= LIMIT).any())
        there = in_python.drain(expected[at:])
        assert there.kept == count
        assert (into == expected).all()
        assert slow == bool((expected[at : at + count, 1] >= LIMIT).any())
        assert in_c.tail == in_python.tail == one.words[TAIL] == other.words[TAIL]
    for space in (one, other):
        os.close(space.fd)
    in_c.close()
    in_python.close()


@pytest.mark.parametrize(
    "harm",
    ["short", "long", "dropped", "facts dropped", "names", "absurd head", "falling head", "proof", "torn"],
)
def test_what_is_out_of_the_ordinary_is_left_to_python_and_nothing_moves(space: Space, harm: str) -> None:
    for number in range(5):
        space.put(number, number, 15)
    reader = space.reader()
    into = rows()
    assert reader.take(into.data.cast("B"), 0, LIMIT) == (5, False)
    space.put(6, 2 * LIMIT, 15)
    space.put(7, 7, 15)
    if harm in ("short", "long"):
        os.truncate(space.path, ring_bytes(CAPACITY) + (4096 if harm == "long" else -32))
    elif harm == "proof":
        space.poke(ENTRIES_BYTE + 6 * 32 + 24, 99)
    elif harm == "torn":
        space.poke(ENTRIES_BYTE + 5 * 32 + 24, 0)
    else:
        byte = {"dropped": DROPPED_BYTE, "facts dropped": FACTS_DROPPED_BYTE, "names": NAMES_USED_BYTE}.get(
            harm, HEAD_BYTE
        )
        space.poke(byte, {"absurd head": (1 << 64) - 1, "falling head": 3}.get(harm, 1))
    tail = space.words[TAIL] if harm != "short" else 5
    assert reader.take(into.data.cast("B"), 0, LIMIT) == (-1, False)
    assert reader.tail == tail == 5
    if harm == "short":
        os.truncate(space.path, ring_bytes(CAPACITY))
    assert space.words[TAIL] == 5
    reader.close()


@pytest.mark.parametrize(("head", "tail"), [(3, (1 << 64) - 1), (3, 4), ((1 << 62) + 1, 1 << 62)])
def test_a_head_that_no_writer_reaches_or_below_the_tail_takes_nothing(
    space: Space, head: int, tail: int
) -> None:
    """An empty slot would prove itself entry number 2^64, whose sequence is 0."""
    assert found is not None
    space.poke(HEAD_BYTE, head)
    for number in range(tail, min(head, tail + 2)):
        space.poke(ENTRIES_BYTE + number % CAPACITY * 32 + 24, number + 1)
    look = found.Look(space.fd, CAPACITY)
    assert look.take(rows().data.cast("B"), 0, tail, 0, 0, 0, LIMIT) == -1
    assert space.words[TAIL] == 0


def test_room_for_less_than_all_is_room_for_nothing(space: Space) -> None:
    for number in range(5):
        space.put(number, number, 15)
    reader = space.reader()
    memory = memoryview(bytearray(6 * 32))
    assert reader.take(memory, 2, LIMIT)[0] == -1
    assert reader.take(memory, 7, LIMIT)[0] == -1
    assert reader.take(memory, 1, LIMIT)[0] == 5
    reader.close()


def test_only_durations_are_slow(space: Space) -> None:
    reader, into = space.reader(), rows().data.cast("B")
    space.put(1, 2 * LIMIT, 15 | 2 << 24)  # a COUNT
    assert reader.take(into, 0, LIMIT) == (1, False)
    space.put(2, LIMIT - 1, 15)
    assert reader.take(into, 0, LIMIT) == (1, False)
    space.put(3, LIMIT, 15 | 7 << 32)
    assert reader.take(into, 0, LIMIT) == (1, True)
    assert reader.take(into, 0, LIMIT) == (0, False)
    reader.close()


def test_a_closed_one_takes_nothing(space: Space) -> None:
    assert found is not None
    space.put(1, 1, 15)
    look = found.Look(space.fd, CAPACITY)
    look.close()
    look.close()
    assert look.take(rows().data.cast("B"), 0, 0, 0, 0, 0, LIMIT) == -1


def test_a_capacity_that_no_ring_has_is_refused(space: Space) -> None:
    assert found is not None
    for capacity in (0, 3, 1 << 60, 1 << 63):
        with pytest.raises(ValueError, match="capacity"):
            found.Look(space.fd, capacity)


# ---- waiting --------------------------------------------------------------------------------------------


def wait(
    module: ModuleType, reader: RingReader, folder: Path, within_s: float, peek_s: float = 0.005
) -> bool:
    due_ns = time.monotonic_ns() + int(within_s * 1e9)
    seen_ns = folder.stat().st_mtime_ns
    answer: bool = module.wait([reader.look], os.fsencode(folder), seen_ns, due_ns, int(peek_s * 1e9))
    assert answer or time.monotonic_ns() >= due_ns
    return answer


@pytest.mark.parametrize("news", ["a filling ring", "a new file", "a shortened ring"])
def test_waiting_ends_early_for(tmp_path: Path, space: Space, news: str) -> None:
    assert found is not None
    reader = space.reader()
    assert not wait(found, reader, tmp_path, 0.02)
    for number in range(CAPACITY // 4):
        space.put(number, 1, 15)
    assert not wait(found, reader, tmp_path, 0.02)  # a quarter, and no more

    def happen() -> None:
        if news == "a filling ring":
            space.put(9, 1, 15)
        elif news == "a new file":
            (tmp_path / "new").touch()
        else:
            os.truncate(space.path, 100)

    timer = threading.Timer(0.1, happen)
    timer.start()
    assert wait(found, reader, tmp_path, 60)
    timer.join()
    os.truncate(space.path, ring_bytes(CAPACITY))
    reader.close()


def test_waiting_lets_other_threads_run_and_takes_only_what_it_knows(tmp_path: Path, space: Space) -> None:
    assert found is not None
    with pytest.raises(TypeError, match="a list of Look"):
        found.wait([None], os.fsencode(tmp_path), 0, 0, 1)
    reader, ran = space.reader(), threading.Event()
    timer = threading.Timer(0.05, ran.set)
    timer.start()
    assert not wait(found, reader, tmp_path, 0.5, 1)
    assert ran.is_set()
    reader.close()


def test_without_the_extension_python_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.load_reading("python") is None
    monkeypatch.setattr("pipeline.telemetry.native.READING_LAYOUT", (1,))
    assert native.load_reading("") is None
