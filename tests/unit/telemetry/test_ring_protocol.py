"""Writer and reader together: nothing is lost silently, nothing torn or invented is accepted.

The writers here are the real ones. In the stepped tests every store of theirs, also the zeros that
`pack_into` writes first, becomes visible one at a time, and the reader copies one word at a time, so that
any of them may fall between any two words that the reader looks at.
"""

import mmap
import random
import struct
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clock import FakeClock
from pipeline.telemetry import layout
from pipeline.telemetry.drops import DROPPED_AT_ONCE, TICK_NS
from pipeline.telemetry.layout import ENTRY_WORDS, Mode, Proof, RefusedRingError
from pipeline.telemetry.reader import Drained, RingReader
from pipeline.telemetry.ring import Ring, memory_ring
from pipeline.telemetry.ring_words import Entries, OwnWords
from pipeline.telemetry.writer import drop_newest, overwrite_oldest

CAPACITY = 64
KINDS_OF_RING = [(mode, proof) for mode in Mode for proof in Proof]


def scratch(rows: int = 256) -> Entries:
    return np.zeros((rows, ENTRY_WORDS), dtype=np.int64)


def entry(number: int) -> tuple[int, int, int]:
    """Entry number `number` as (end, value, what): recognisable, and with no bits in common with others."""
    bits = random.Random(number)
    return bits.getrandbits(62), bits.getrandbits(62), bits.getrandbits(63)


def number_of(row: Any, known: dict[tuple[int, int, int], int]) -> int:
    """Which entry a row is; KeyError for one that was never written."""
    return known[int(row[0]), int(row[1]), int(row[2])]


@pytest.mark.parametrize(("mode", "proof"), KINDS_OF_RING)
@given(steps=st.lists(st.one_of(st.integers(1, 90), st.just(0)), max_size=40), room=st.integers(1, 100))
def test_any_interleaving_of_writes_and_drains_accounts_for_every_entry(
    mode: Mode, proof: Proof, steps: list[int], room: int
) -> None:
    """A step is that many writes, or a drain (0)."""
    ring = memory_ring("w", CAPACITY, mode=mode, proof=proof)
    reader = RingReader(ring.memory, ring.identity)
    into = scratch(room)
    written: list[int] = []
    read: list[int] = []
    refused = tried = dropped = overwritten = 0
    for step in [*steps, *[0] * (CAPACITY + 1)]:
        for _ in range(step):
            tried += 1
            if ring.put(tried, tried * 3, 7):
                written.append(tried)
            else:
                refused += 1
        if not step:
            drained = reader.drain(into)
            rows = into[: drained.kept]
            assert (rows[:, 1] == rows[:, 0] * 3).all()
            read += rows[:, 0].tolist()
            dropped += drained.dropped
            overwritten += drained.overwritten
            assert drained.unproven == 0
    assert dropped == refused
    assert read == sorted(set(read))
    assert set(read) <= set(written)
    assert len(read) + overwritten == len(written)
    if mode == Mode.DROP_NEWEST:
        assert read == written


class SteppedWriter:
    """A real writer whose stores wait in `pending` until they are let through."""

    def __init__(self, ring: Ring, shuffle: random.Random | None) -> None:
        self.pending: list[tuple[int, int]] = []
        self._memory = ring.words
        self._shuffle = shuffle
        make = overwrite_oldest if ring.identity.mode == Mode.FLIGHT_RECORDER else drop_newest
        self._put = make(self, None, CAPACITY, ring.identity.proof, self._pack)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> int:
        return self._memory[index]

    def __setitem__(self, index: int, value: int) -> None:
        self._stores.append((index, value))

    def _pack(self, _body: Any, offset: int, /, *values: int) -> None:
        first = layout.ENTRIES + offset // layout.WORD_BYTES
        self._stores += [(first + index, 0) for index in range(len(values))]
        self._stores += [(first + index, value & layout.WORD_MASK) for index, value in enumerate(values)]

    def write(self, number: int) -> bool:
        self._stores: list[tuple[int, int]] = []
        published = self._put(*entry(number))
        self.pending += self._stores if self._shuffle is None else reordered(self._stores, self._shuffle)
        return published

    def let_through(self, count: int) -> None:
        for index, value in self.pending[:count]:
            self._memory[index] = value
        del self.pending[:count]


def reordered(stores: list[tuple[int, int]], dice: random.Random) -> list[tuple[int, int]]:
    """As a machine with a weak memory model may show them: only stores to one word keep their order."""
    by_word: dict[int, list[int]] = defaultdict(list)
    for index, value in stores:
        by_word[index].append(value)
    order = [index for index, _ in stores]
    dice.shuffle(order)
    return [(index, by_word[index].pop(0)) for index in order]


class SteppedWords(OwnWords):
    """Copies word by word and lets the world go on in between."""

    between: Callable[[], None]

    def copy(self, first: int, count: int, into: Entries) -> None:
        for row in range(count):
            for word in range(ENTRY_WORDS):
                self.between()
                into[row, word] = self._entries[(first + row) & (CAPACITY - 1), word]
        self.between()


@pytest.mark.parametrize(("mode", "proof"), KINDS_OF_RING)
@settings(max_examples=150)
@given(seed=st.integers(0, 1 << 32), speed=st.integers(1, 12), lead=st.integers(0, 3 * CAPACITY))
def test_a_reader_amid_the_stores_of_a_writer_accepts_nothing_torn(
    mode: Mode, proof: Proof, seed: int, speed: int, lead: int
) -> None:
    dice = random.Random(seed)
    ring = memory_ring("w", CAPACITY, mode=mode, proof=proof)
    writer = SteppedWriter(ring, dice if proof is Proof.MIXED else None)
    words = SteppedWords(ring.memory, CAPACITY)
    reader = RingReader(words, ring.identity)
    known: dict[tuple[int, int, int], int] = {}
    published: list[int] = []

    def go_on() -> None:
        if dice.random() < 0.2:
            write_one()
        writer.let_through(dice.randrange(speed))

    def write_one() -> None:
        number = len(known)
        known[entry(number)] = number
        if writer.write(number):
            published.append(number)

    words.between = go_on
    for _ in range(lead):
        write_one()
        writer.let_through(dice.randrange(4 * speed))
    into = scratch(24)
    read: list[int] = []
    lost = Drained(0)
    for turn in range(60):
        if turn == 40:
            writer.let_through(len(writer.pending))
            words.between = lambda: None
        drained = reader.drain(into, final=turn > 40)
        read += [number_of(row, known) for row in into[: drained.kept]]
        lost = Drained(
            0,
            lost.dropped + drained.dropped,
            lost.overwritten + drained.overwritten,
            lost.unproven + drained.unproven,
            lost.facts_dropped + drained.facts_dropped,
        )
        go_on() if turn < 40 else None
    assert read == sorted(set(read))
    assert set(read) <= set(published)
    assert len(read) + lost.overwritten + lost.unproven == len(published)
    missed = set(known.values()) - set(published)
    kinds = {one: entry(one)[2] >> layout.KIND_SHIFT & layout.KIND_MASK for one in missed}
    assert lost.dropped == sum(
        1 + (entry(one)[2] >> layout.WEIGHT_SHIFT & layout.WEIGHT_MASK)
        for one, kind in kinds.items()
        if kind == layout.DURATION
    )
    assert lost.facts_dropped == sum(kind != layout.DURATION for kind in kinds.values())
    if proof is Proof.SEQUENCE:
        assert lost.unproven == 0
        if mode is Mode.DROP_NEWEST:
            assert read == published


def test_a_reader_leaves_the_slot_alone_that_a_flight_recorder_may_be_at() -> None:
    ring = memory_ring("w", CAPACITY, mode=Mode.FLIGHT_RECORDER)
    for number in range(2 * CAPACITY):
        ring.put(*entry(number))
    copied: list[tuple[int, int]] = []

    class Watched(OwnWords):
        def copy(self, first: int, count: int, into: Entries) -> None:
            copied.append((first, count))
            super().copy(first, count, into)

    drained = RingReader(Watched(ring.memory, CAPACITY), ring.identity).drain(scratch())
    assert copied == [(CAPACITY + 1, CAPACITY - 1)]
    assert (drained.kept, drained.overwritten) == (CAPACITY - 1, CAPACITY + 1)


@pytest.mark.parametrize("proof", list(Proof))
def test_a_flight_recorder_disproves_a_slot_before_it_is_filled_again(proof: Proof) -> None:
    ring = memory_ring("w", CAPACITY, mode=Mode.FLIGHT_RECORDER, proof=proof)
    writer = SteppedWriter(ring, None)
    writer.write(0)
    assert writer.pending[0] == (layout.PROOF_WORD, 0)
    assert writer.pending[-1] == (layout.HEAD, 1)
    assert writer.pending[-2][0] == layout.PROOF_WORD


def test_a_put_that_comes_in_between_does_not_cost_the_outer_one() -> None:
    """As a signal handler does: it runs when `pack` returns, before the head has moved."""
    ring = memory_ring("w", CAPACITY)
    nested: list[bool] = []

    def pack(body: Any, offset: int, /, *values: int) -> None:
        struct.pack_into("<qqQQ", body, offset, *values)
        if not nested:
            nested.append(True)
            assert put(2, 20, 7)

    body = memoryview(ring.memory)[layout.ENTRIES_BYTE :]
    put = drop_newest(ring.words, body, CAPACITY, Proof.SEQUENCE, pack)
    assert put(1, 10, 7)
    reader, into = RingReader(ring.memory, ring.identity), scratch()
    drained = reader.drain(into)
    assert into[: drained.kept, :2].tolist() == [[2, 20], [1, 10]]


def test_a_put_thrown_out_of_leaves_no_hole() -> None:
    ring = memory_ring("w", CAPACITY)
    body = memoryview(ring.memory)[layout.ENTRIES_BYTE :]
    calls = []

    def pack(body: Any, offset: int, /, *values: int) -> None:
        struct.pack_into("<qqQQ", body, offset, *values)
        calls.append(offset)
        if len(calls) == 2:
            raise KeyboardInterrupt

    put = drop_newest(ring.words, body, CAPACITY, Proof.SEQUENCE, pack)
    put(1, 10, 7)
    with pytest.raises(KeyboardInterrupt):
        put(2, 20, 7)
    put(3, 30, 7)
    reader, into = RingReader(ring.memory, ring.identity), scratch()
    assert reader.drain(into).kept == 2
    assert into[:2, 0].tolist() == [1, 3]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("value", [1 << 64, -(1 << 64), 1.5, "x", None])
def test_a_value_that_is_no_64_bit_integer_is_counted_as_dropped(mode: Mode, value: Any) -> None:
    ring = memory_ring("w", CAPACITY, mode=mode, proof=Proof.MIXED)
    assert not ring.put(1, value, 7)
    assert ring.put(2, 20, 7)
    drained = RingReader(ring.memory, ring.identity).drain(scratch())
    assert (drained.kept, drained.dropped) == (1, 1)


def test_a_hole_is_waited_for_and_then_given_up() -> None:
    ring = memory_ring("w", CAPACITY)
    reader, into = RingReader(ring.memory, ring.identity), scratch()
    for number in range(1, 4):
        ring.put(number, 0, 7)
    ring.words[layout.PROOF_WORD + ENTRY_WORDS] = 99
    kept = [reader.drain(into).kept for _ in range(2)]
    assert kept == [1, 0]
    last = reader.drain(into)
    assert (last.kept, last.unproven, into[0, 0]) == (1, 1, 3)


def test_zeroed_memory_proves_nothing() -> None:
    ring = memory_ring("w", CAPACITY)
    ring.words[layout.HEAD] = 5
    drained = RingReader(ring.memory, ring.identity).drain(scratch(), final=True)
    assert (drained.kept, drained.unproven) == (0, 5)


@pytest.mark.parametrize(
    ("word", "value", "reason"),
    [
        (layout.HEAD, CAPACITY + 1, "absurd_head"),
        (layout.HEAD, (1 << 64) - 1, "absurd_head"),
        (layout.DROPPED, 1 << 50, "absurd_dropped"),
    ],
)
def test_counters_that_cannot_be_true_are_refused(word: int, value: int, reason: str) -> None:
    ring = memory_ring("w", CAPACITY)
    reader = RingReader(ring.memory, ring.identity)
    ring.words[word] = value
    with pytest.raises(RefusedRingError) as refused:
        reader.drain(scratch())
    assert refused.value.reason == reason


def test_a_writer_cannot_have_dropped_more_than_time_allows() -> None:
    """Since it was looked at before; at the first look, since its process began."""
    ring, clock = memory_ring("w", CAPACITY), FakeClock(monotonic_ns=10**12)
    ticks = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // TICK_NS
    hour = ring.identity._replace(process_start=ticks - 3600 * 10**9 // TICK_NS)
    ring.words[layout.DROPPED] = 3 * 10**11
    assert RingReader(ring.memory, hour, now=clock.monotonic_ns).drain(scratch()).dropped == 3 * 10**11
    ring.words[layout.DROPPED_SEEN] = 0
    ring.words[layout.DROPPED] = 1 << 39
    with pytest.raises(RefusedRingError, match="absurd_dropped"):
        RingReader(ring.memory, hour, now=clock.monotonic_ns).drain(scratch())
    ring.words[layout.DROPPED] = 5
    reader = RingReader(ring.memory, hour, now=clock.monotonic_ns)
    assert reader.drain(scratch()).dropped == 5
    for word, field in ((layout.DROPPED, "dropped"), (layout.FACTS_DROPPED, "facts_dropped")):
        for _ in range(3):
            clock.advance(s=10)
            ring.words[word] += 10**9
            assert getattr(reader.drain(scratch()), field) == 10**9
        ring.words[word] += DROPPED_AT_ONCE
        assert getattr(reader.drain(scratch()), field) == DROPPED_AT_ONCE
        clock.advance(ms=100)
        ring.words[word] += 10**9
        with pytest.raises(RefusedRingError, match="absurd_dropped"):
            reader.drain(scratch())
        ring.words[word] -= 10**9


def test_a_look_now_and_then_bounds_what_a_ring_may_say_next() -> None:
    ring, clock = memory_ring("w", CAPACITY), FakeClock(monotonic_ns=10**12)
    reader = RingReader(ring.memory, ring.identity, now=clock.monotonic_ns)
    clock.advance(s=3600)
    assert reader.take_removed() == 0
    clock.advance(ms=200)
    ring.words[layout.DROPPED] = 10**8
    with pytest.raises(RefusedRingError, match="absurd_dropped"):
        reader.drain(scratch())


@settings(max_examples=300)
@given(
    data=st.binary(min_size=512, max_size=512), entries=st.binary(max_size=2048), mode=st.sampled_from(Mode)
)
def test_random_bytes_over_every_counter_and_entry_never_crash_the_reader(
    data: bytes, entries: bytes, mode: Mode
) -> None:
    ring = memory_ring("w", CAPACITY, mode=mode)
    memory: mmap.mmap = ring.memory
    memory[layout.HEAD_BYTE : layout.NAMES_USED_BYTE] = data
    memory[layout.ENTRIES_BYTE : layout.ENTRIES_BYTE + len(entries)] = entries
    reader = RingReader(memory, ring.identity)
    for final in (False, True):
        with suppress(RefusedRingError):
            reader.drain(scratch(), final=final)


def test_a_second_reader_goes_on_where_the_first_one_stopped() -> None:
    ring = memory_ring("w", CAPACITY)
    for number in range(100):
        ring.put(number, 0, 7)
    first = RingReader(ring.memory, ring.identity)
    drained = first.drain(scratch(40))
    assert (drained.kept, drained.dropped) == (40, 36)
    second, into = RingReader(ring.memory, ring.identity), scratch()
    drained = second.drain(into)
    assert (drained.kept, drained.dropped) == (24, 0)
    assert into[:24, 0].tolist() == list(range(40, 64))
