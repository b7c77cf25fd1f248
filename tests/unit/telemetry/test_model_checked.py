"""Every schedule of one writer and one reader over a ring of two slots, store by store and load by load.

The writers are the real ones in Python, their stores caught in the order in which they make them (those of
the extension are the same without the zeros that `pack_into` writes first). The reader is `RingReader.drain`
itself: what it asks for is answered with what the model's loads found, each at an instant of its own. All
states that the two can reach are visited; in each, whatever the reader accepts must be the entry that was
written at that place, whole. Rings begin empty or with entries in their slots, so that slots are used again.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from pipeline.telemetry import layout, proofs, writer
from pipeline.telemetry.layout import (
    DROPPED,
    DROPPED_SEEN,
    ENTRIES,
    ENTRY_WORDS,
    FACTS_DROPPED,
    FACTS_SEEN,
    HEAD,
    PROOF_WORD,
    TAIL,
    Identity,
    Mode,
    Proof,
)
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.writer import drop_newest, overwrite_oldest

CAPACITY = 2
# The words that matter: head, tail, what was dropped, and the slots'.
WORDS = (HEAD, TAIL, DROPPED, FACTS_DROPPED, *range(ENTRIES, ENTRIES + CAPACITY * ENTRY_WORDS))
PLACE = {word: place for place, word in enumerate(WORDS)}
SLOTS = PLACE[ENTRIES]
AT_HEAD, AT_TAIL = PLACE[HEAD], PLACE[TAIL]
PROOFS = {PLACE[PROOF_WORD + slot * ENTRY_WORDS] for slot in range(CAPACITY)}
Memory = tuple[int, ...]
Stores = tuple[tuple[int, int], ...]
Entry = tuple[int, int, int]
MakeEntry = Callable[[int], Entry]


def irregular(number: int) -> Entry:
    """Times, durations and ids have no order."""
    digest = hashlib.sha256(bytes([number])).digest()
    return tuple(int.from_bytes(digest[at : at + 7], "little") >> 8 for at in (0, 8, 16))  # type: ignore[return-value]


def stepping(number: int) -> Entry:
    """All words step as the sequence does: what a plain XOR with the sequence does not tell apart."""
    return 0x1000 + number, 0x20_0000 + number, 0x4000_0000 + number


def a_gauge(number: int) -> Entry:
    """The clock and the value step together, of one event: what an XOR of both does not tell apart."""
    return 0x1000 + number, 0x1000 + number, 0x0300_0003


ENTRIES_OF: dict[str, MakeEntry] = {"irregular": irregular, "stepping": stepping, "gauge": a_gauge}


class Model(NamedTuple):
    """What is varied."""

    mode: Mode
    proof: Proof
    puts: int
    drains: int
    entry: MakeEntry = irregular
    zeroing: bool = False
    """Stores zeros first, as `pack_into` does."""
    filled: int = 0
    """Entries that are there at the beginning, none of them taken."""
    disproves: bool = True
    """The writer's guard: its first store to a slot is 0 to the proof word."""
    looks_again: bool = True
    """The reader's: it loads `head` again after copying."""
    any_load_first: bool = False
    """The words of a copy are loaded in any order, not from the first to the last."""
    broken: bool = False
    """Stores are made in the opposite order."""


class State(NamedTuple):
    memory: Memory
    """As the reader sees it."""
    written: int
    """Puts begun."""
    placed: tuple[int, ...]
    """The put at each place."""
    pending: Stores
    """Stores made and not yet seen, in program order."""
    drains: int
    first: int
    """The first entry of the copy under way."""
    copied: tuple[int | None, ...]
    """Words loaded in this drain; None: not yet."""
    seen: int
    """Head at its beginning; -1 between drains."""


@functools.cache
def stores_of(model: Model, written: int, head: int, tail: int) -> tuple[Stores, bool]:
    """What the real writer stores for a put, and whether it is in the ring then."""
    found: list[tuple[int, int]] = []

    class Words:
        def __getitem__(self, word: int) -> int:
            # The writer sees its own stores; `tail` is the reader's.
            return {HEAD: head, TAIL: tail}.get(word, 0)

        def __setitem__(self, word: int, value: int) -> None:
            found.append((PLACE[word], value))

    def pack(_body: Any, offset: int, /, *values: int) -> None:
        first = SLOTS + offset // layout.WORD_BYTES
        if model.zeroing:
            found.extend((first + index, 0) for index in range(len(values)))
        found.extend((first + index, value) for index, value in enumerate(values))

    words: Any = Words()
    make = overwrite_oldest if model.mode is Mode.FLIGHT_RECORDER else drop_newest
    published = make(words, None, CAPACITY, model.proof, pack)(*model.entry(written))
    if not model.disproves:
        assert found[0] in {(place, 0) for place in PROOFS}
        del found[0]
    return tuple(found[::-1] if model.broken else found), published


class Asked(Exception):  # noqa: N818 - no error
    """Which entries the reader copies."""


class Answers:
    """The ring as a drain finds it: what it asks for is what the model's loads found."""

    fd = -1

    def __init__(self, state: State, copied: Entries | None, head_after: int) -> None:
        self._words = memoryview(bytearray(layout.NAMES_BYTE)).cast("Q")
        self._words[HEAD], self._words[TAIL] = state.seen, state.memory[AT_TAIL]
        self._first, self._copied, self._head_after = state.first, copied, head_after
        for seen, told in ((DROPPED_SEEN, DROPPED), (FACTS_SEEN, FACTS_DROPPED)):
            self._words[seen] = self._words[told] = state.memory[PLACE[told]]
        self.tail = state.memory[AT_TAIL]

    def look(self) -> memoryview[int]:
        return self._words

    def copy(self, first: int, count: int, into: Entries) -> None:
        if self._copied is None:
            raise Asked(first, count)
        assert (first, count) == (self._first, len(self._copied))
        into[:count] = self._copied
        self._words[HEAD] = self._head_after

    def store(self, tail: int, _dropped_seen: int) -> None:
        self.tail = tail

    def note(self, word: int, value: int) -> None:
        raise AssertionError((word, value))

    header = close = note


def drain(model: Model, state: State, copied: Entries | None, head_after: int) -> tuple[Entries, int, int]:
    """What the real reader keeps, the number of its first, and the tail behind it."""
    identity = Identity(CAPACITY, model.mode, model.proof, 1, 0, 1, "w")
    answers: Any = Answers(state, copied, head_after)
    into: Entries = np.zeros((CAPACITY, ENTRY_WORDS), dtype=np.int64)
    drained = RingReader(answers, identity, now=lambda: 10**18).drain(into)
    return into[: drained.kept], answers.tail - drained.kept, answers.tail


@functools.cache
def copy_of(model: Model, seen: int, tail: int) -> tuple[int, int]:
    """First and number of the entries that the real reader copies."""
    memory = tuple(tail if place == AT_TAIL else 0 for place in range(len(WORDS)))
    try:
        drain(model, State(memory, 0, (), (), 0, 0, (), seen), None, seen)
    except Asked as asked:
        return asked.args
    return tail, 0


def with_word(memory: Memory, place: int, value: int) -> Memory:
    return (*memory[:place], value, *memory[place + 1 :])


def next_states(model: Model, state: State) -> Iterator[State]:
    # The writer: its next put, or one of its stores becomes visible.
    in_order = model.proof is Proof.SEQUENCE
    if state.written < model.puts + model.filled and not (in_order and state.pending):
        stores, published = stores_of(model, state.written, len(state.placed), state.memory[AT_TAIL])
        placed = (*state.placed, state.written) if published else state.placed
        yield state._replace(written=state.written + 1, placed=placed, pending=state.pending + stores)
    for index in range(min(1, len(state.pending)) if in_order else len(state.pending)):
        place, value = state.pending[index]
        if all(other != place for other, _ in state.pending[:index]):  # stores to one word keep their order
            memory = with_word(state.memory, place, value)
            yield state._replace(memory=memory, pending=state.pending[:index] + state.pending[index + 1 :])
    # The reader: one load, or the end of a drain.
    if state.drains == model.drains:
        return
    if state.seen < 0:
        head, tail = state.memory[AT_HEAD], state.memory[AT_TAIL]
        if head > tail:
            first, count = copy_of(model, head, tail)
            yield state._replace(seen=head, first=first, copied=(None,) * (count * ENTRY_WORDS))
        return
    missing = [at for at, word in enumerate(state.copied) if word is None]
    for at in missing if model.any_load_first else missing[:1]:
        row, word = divmod(at, ENTRY_WORDS)
        value = state.memory[SLOTS + (state.first + row) % CAPACITY * ENTRY_WORDS + word]
        yield state._replace(copied=(*state.copied[:at], value, *state.copied[at + 1 :]))
    if not missing:
        yield finish(model, state)


def finish(model: Model, state: State) -> State:
    head_after = state.memory[AT_HEAD] if model.looks_again else state.seen
    copied = np.array(state.copied, dtype=np.uint64).view(np.int64).reshape(-1, ENTRY_WORDS)
    kept, first, tail = drain(model, state, copied, head_after)
    for index, row in enumerate(kept[:, :3].tolist()):
        number = first + index
        assert tuple(row) == model.entry(state.placed[number]), (row, number, state)
    if model.proof is Proof.SEQUENCE and model.looks_again:
        # Nothing is unproven where stores keep their order.
        assert tail == max(state.first + len(copied), first), state
    memory = with_word(state.memory, AT_TAIL, tail)
    return state._replace(memory=memory, drains=state.drains + 1, first=0, copied=(), seen=-1)


def beginning(model: Model) -> State:
    state = State((0,) * len(WORDS), 0, (), (), 0, 0, (), -1)
    for _ in range(model.filled):
        stores, _ = stores_of(model._replace(broken=False), state.written, state.written, 0)
        memory = state.memory
        for place, value in stores:
            memory = with_word(memory, place, value)
        state = state._replace(
            memory=memory, written=state.written + 1, placed=(*state.placed, state.written)
        )
    return state


def reachable(model: Model) -> int:
    """How many states there are. Raises AssertionError when in one the reader accepts what is false."""
    first = beginning(model)
    visited, waiting = {first}, [first]
    accepted = False
    while waiting:
        state = waiting.pop()
        accepted |= state.drains == model.drains and state.memory[AT_TAIL] > model.filled
        for found in next_states(model, state):
            if found not in visited:
                visited.add(found)
                waiting.append(found)
    assert accepted, "no schedule reads what was written"
    return len(visited)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("zeroing", [True, False], ids=["python", "c"])
@pytest.mark.parametrize("mode", list(Mode))
def test_no_schedule_lets_the_reader_accept_what_was_not_written(mode: Mode, zeroing: bool) -> None:
    assert reachable(Model(mode, Proof.SEQUENCE, 8, 4, zeroing=zeroing)) > 1000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", list(Mode))
def test_nor_does_one_whose_copy_loads_its_words_in_any_order(mode: Mode) -> None:
    assert reachable(Model(mode, Proof.SEQUENCE, 5, 2, any_load_first=True)) > 1000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("entries", ENTRIES_OF)
@pytest.mark.parametrize("mode", list(Mode))
def test_nor_does_one_in_which_stores_are_seen_in_any_order_and_slots_are_used_again(
    mode: Mode, entries: str
) -> None:
    flight = mode is Mode.FLIGHT_RECORDER
    model = Model(mode, Proof.MIXED, 2, 1 if flight else 2, ENTRIES_OF[entries], filled=2 if flight else 1)
    assert reachable(model) > 5000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("entries", ENTRIES_OF)
@pytest.mark.parametrize(("mode", "drains"), [(Mode.DROP_NEWEST, 2), (Mode.FLIGHT_RECORDER, 1)])
def test_nor_does_one_of_three_puts_into_an_empty_ring(mode: Mode, drains: int, entries: str) -> None:
    assert reachable(Model(mode, Proof.MIXED, 3, drains, ENTRIES_OF[entries])) > 100_000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", list(Mode))
def test_nor_does_one_that_writes_zeros_first(mode: Mode) -> None:
    assert reachable(Model(mode, Proof.MIXED, 2, 1, zeroing=True, filled=1)) > 10_000


FLIGHT = Model(Mode.FLIGHT_RECORDER, Proof.SEQUENCE, 8, 4)


def test_each_guard_of_a_flight_recorder_is_enough_by_itself() -> None:
    """Without the other one; the writer's takes a reader that loads a proof word last."""
    reachable(FLIGHT._replace(disproves=False))
    reachable(FLIGHT._replace(disproves=False, puts=5, drains=2, any_load_first=True))
    reachable(FLIGHT._replace(looks_again=False))


@pytest.mark.parametrize(
    "without",
    [
        FLIGHT._replace(disproves=False, looks_again=False),
        FLIGHT._replace(broken=True),
        FLIGHT._replace(mode=Mode.DROP_NEWEST, broken=True),
    ],
)
def test_a_ring_without_its_guards_or_published_first_would_be_caught(without: Model) -> None:
    with pytest.raises(AssertionError):
        reachable(without)


@pytest.mark.parametrize("entries", ["stepping", "gauge"])
def test_a_plain_xor_as_proof_would_be_caught(entries: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(sequence: int, end_ns: int, value: int, what: int) -> int:
        return sequence ^ end_ns ^ value ^ what

    monkeypatch.setattr(writer, "mixed", plain)
    for factor in ("_MIX_END", "_MIX_VALUE", "_UNMIX"):
        monkeypatch.setattr(proofs, factor, np.int64(1))
    stores_of.cache_clear()
    try:
        with pytest.raises(AssertionError):
            reachable(Model(Mode.FLIGHT_RECORDER, Proof.MIXED, 2, 1, ENTRIES_OF[entries], filled=2))
    finally:
        stores_of.cache_clear()
