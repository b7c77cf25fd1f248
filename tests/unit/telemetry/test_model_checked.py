"""Every schedule of one writer and one reader over a ring of two slots, store by store and load by load.

The writers are the real ones, their stores caught in the order in which they make them. The reader is
`RingReader.drain` taken apart into single loads, with the real proof at its end. All states that the two can
reach are visited; in each, whatever the reader accepts must be an entry that was written, whole and in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from pipeline.telemetry import layout
from pipeline.telemetry.layout import DROPPED, ENTRIES, ENTRY_WORDS, FACTS_DROPPED, HEAD, TAIL, Mode, Proof
from pipeline.telemetry.reader import proven_rows
from pipeline.telemetry.writer import drop_newest, overwrite_oldest

CAPACITY = 2
# The words that matter: head, tail, what was dropped, and the slots'.
WORDS = (HEAD, TAIL, DROPPED, FACTS_DROPPED, *range(ENTRIES, ENTRIES + CAPACITY * ENTRY_WORDS))
PLACE = {word: place for place, word in enumerate(WORDS)}
SLOTS = PLACE[ENTRIES]
Memory = tuple[int, ...]
Stores = tuple[tuple[int, int], ...]


class State(NamedTuple):
    memory: Memory
    """As the reader sees it."""
    written: int
    """Puts begun."""
    head: int
    """As the writer has it."""
    pending: Stores
    """Stores made and not yet seen, in program order."""
    tail: int
    drains: int
    copied: tuple[int, ...]
    """Words loaded in this drain."""
    seen: int
    """Head at its beginning; -1 between drains."""


def entry(number: int) -> tuple[int, int, int]:
    """No two share a word, and none is zero."""
    return 0x1000 + number, 0x20_0000 + 7 * number, 0x4000_0000 + 31 * number


def stores_of(state: State, mode: Mode, proof: Proof, zeroing: bool) -> tuple[Stores, int]:
    """What the real writer stores for the next put, and its head afterwards."""
    found: list[tuple[int, int]] = []

    class Words:
        def __getitem__(self, word: int) -> int:
            # The writer sees its own stores; `tail` is the reader's.
            return state.head if word == HEAD else state.memory[PLACE[word]]

        def __setitem__(self, word: int, value: int) -> None:
            found.append((PLACE[word], value))

    def pack(_body: Any, offset: int, /, *values: int) -> None:
        first = SLOTS + offset // layout.WORD_BYTES
        if zeroing:
            found.extend((first + index, 0) for index in range(len(values)))
        found.extend((first + index, value) for index, value in enumerate(values))

    words: Any = Words()
    make = overwrite_oldest if mode is Mode.FLIGHT_RECORDER else drop_newest
    published = make(words, None, CAPACITY, proof, pack)(*entry(state.written))
    return tuple(found), state.head + published


def next_states(
    state: State, mode: Mode, proof: Proof, zeroing: bool, puts: int, drains: int, broken: bool = False
) -> Iterator[State]:
    # The writer: its next put, or one of its stores becomes visible.
    if state.written < puts and (not state.pending or proof is Proof.MIXED):
        stores, head = stores_of(state, mode, proof, zeroing)
        stores = stores[::-1] if broken else stores
        yield state._replace(written=state.written + 1, head=head, pending=state.pending + stores)
    visible = range(1) if proof is Proof.SEQUENCE else range(len(state.pending))
    for index in visible[: len(state.pending)]:
        place, value = state.pending[index]
        if all(other != place for other, _ in state.pending[:index]):  # stores to one word keep their order
            memory = (*state.memory[:place], value, *state.memory[place + 1 :])
            yield state._replace(memory=memory, pending=state.pending[:index] + state.pending[index + 1 :])
    # The reader: one load, or the end of a drain.
    if state.drains == drains:
        return
    if state.seen < 0:
        head = state.memory[PLACE[HEAD]]
        if head > state.tail:
            tail = max(state.tail, head + 1 - CAPACITY) if mode is Mode.FLIGHT_RECORDER else state.tail
            yield state._replace(seen=head, tail=tail, copied=())
        return
    count = state.seen - state.tail
    if len(state.copied) < count * ENTRY_WORDS:
        row, word = divmod(len(state.copied), ENTRY_WORDS)
        slot = (state.tail + row) % CAPACITY
        value = state.memory[SLOTS + slot * ENTRY_WORDS + word]
        yield state._replace(copied=(*state.copied, value))
        return
    yield from finish(state, count, mode, proof)


def finish(state: State, count: int, mode: Mode, proof: Proof) -> Iterator[State]:
    stale = 0
    if mode is Mode.FLIGHT_RECORDER:
        stale = max(0, min(count, state.memory[PLACE[HEAD]] + 1 - CAPACITY - state.tail))
    rows = np.array(state.copied, dtype=np.int64).reshape(count, ENTRY_WORDS)[stale:]
    proven = proven_rows(rows, state.tail + stale, proof)
    whole = int(np.argmin(proven)) if not proven.all() else len(rows)
    for index in range(whole):
        accepted = tuple(rows[index, :3].tolist())
        number = state.tail + stale + index
        assert accepted in PUBLISHED[mode](number, state.written), (accepted, number, state)
    if proof is Proof.SEQUENCE:
        assert whole == len(rows), state  # nothing is unproven where stores keep their order
    tail = state.tail + stale + whole
    memory = (*state.memory[: PLACE[TAIL]], tail, *state.memory[PLACE[TAIL] + 1 :])
    yield state._replace(memory=memory, tail=tail, drains=state.drains + 1, copied=(), seen=-1)


# Which entries may stand at a sequence: with nothing dropped put n is entry n; after drops a later one.
PUBLISHED: dict[Mode, Callable[[int, int], set[tuple[int, int, int]]]] = {
    Mode.FLIGHT_RECORDER: lambda number, _written: {entry(number)},
    Mode.DROP_NEWEST: lambda number, written: {entry(put) for put in range(number, written)},
}


def reachable(
    mode: Mode, proof: Proof, zeroing: bool, puts: int, drains: int, broken: bool = False
) -> set[State]:
    first = State((0,) * len(WORDS), 0, 0, (), 0, 0, (), -1)
    visited, waiting = {first}, [first]
    while waiting:
        for state in next_states(waiting.pop(), mode, proof, zeroing, puts, drains, broken):
            if state not in visited:
                visited.add(state)
                waiting.append(state)
    return visited


@pytest.mark.timeout(600)
@pytest.mark.parametrize("zeroing", [True, False], ids=["python", "c"])
@pytest.mark.parametrize(
    ("mode", "proof", "puts", "drains"),
    [
        (Mode.DROP_NEWEST, Proof.SEQUENCE, 8, 4),
        (Mode.FLIGHT_RECORDER, Proof.SEQUENCE, 8, 4),
        (Mode.DROP_NEWEST, Proof.MIXED, 2, 1),
        (Mode.FLIGHT_RECORDER, Proof.MIXED, 2, 1),
    ],
)
def test_no_schedule_lets_the_reader_accept_what_was_not_written(
    mode: Mode, proof: Proof, puts: int, drains: int, zeroing: bool
) -> None:
    states = reachable(mode, proof, zeroing, puts, drains)
    assert any(state.drains == drains and state.tail >= 1 for state in states)
    assert len(states) > 500


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(Mode))
def test_no_schedule_of_reordered_stores_over_two_drains_does_either(mode: Mode) -> None:
    assert len(reachable(mode, Proof.MIXED, True, 2, 2)) > 5000


@pytest.mark.parametrize("mode", list(Mode))
def test_a_writer_that_publishes_first_would_be_caught(mode: Mode) -> None:
    with pytest.raises(AssertionError):
        reachable(mode, Proof.SEQUENCE, False, 4, 2, broken=True)
