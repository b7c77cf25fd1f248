"""The journal against a plain model: whatever happens, nothing synced is lost and nothing is invented."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.clock import FakeClock
from pipeline.config.schema import Journal as Settings
from pipeline.delivery import Delivery
from pipeline.messages import Fate
from pipeline.storage.journal import DuplicateError, Journal, JournalFullError
from pipeline.storage.journal.memory_disk import MemoryDisk
from pipeline.storage.journal.records import event_id

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]
"""It passes in some 20 s. Hypothesis shrinks a failure for at most 300 s and must get to say what it is."""

KEYS = [f"K{number}" for number in range(5)]
SETTINGS = Settings(segment_bytes=2048, max_bytes=20_480, retention_s=60, max_age_s=10**6)
HALT, RESUME = b"halt", b"resume"


class Event:
    """An accepted event as the model has it; `parts` are (key, key_seq, event_id, payload)."""

    def __init__(self, webhook_id: str, jno: int, accepted_us: int, fingerprint: bytes) -> None:
        self.webhook_id = webhook_id
        self.jno = jno
        self.accepted_us = accepted_us
        self.fingerprint = fingerprint
        self.parts: list[tuple[str, int, bytes, bytes]] = []
        self.births: bytes | None = None


def part(delivery: Delivery) -> tuple[str, int, bytes, bytes]:
    return delivery.key, delivery.key_seq, delivery.event_id, delivery.payload


class JournalMachine(RuleBasedStateMachine):
    """Rules are what a gateway does and what befalls it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.disk = MemoryDisk()
        self.journal = Journal.on(self.disk, SETTINGS, self.clock)
        self.events: list[Event] = []
        self.marks: dict[str, int] = {}
        self.fates: dict[tuple[str, int], tuple[int, int]] = {}
        self.count = 0
        self.last_us = 0
        self.seen_us = 0

    # ---- what a gateway does ----------------------------------------------------------------------------

    @rule(seed=st.integers(0, 10**6), hot=st.sampled_from(KEYS), quiet=st.sampled_from(KEYS))
    def a_busy_while(self, seed: int, hot: str, quiet: str) -> None:
        """Many events, mostly of `hot`, none of `quiet`; most are settled, segments come and go."""
        rng = Random(seed)
        keys = [hot, hot, *(key for key in KEYS if key != quiet)]
        slow = rng.choice([*KEYS, ""])
        pace_ms = rng.choice([0, 50, 3000])
        for _ in range(rng.randint(5, 60)):
            self.accept(rng.choice(keys), rng.randint(1, 400))
            if rng.random() < 0.5:
                self.sync()
            if rng.random() < 0.3:
                self._settle_up_to(rng.choice(keys), rng.randint(0, 3), slow)
            if rng.random() < 0.5:
                self.journal.maintain()
            self.clock.advance(ms=rng.randint(0, pace_ms))

    def _settle_up_to(self, key: str, behind: int, slow: str) -> None:
        upto = self._counter(key, synced_only=True) - behind
        if key != slow and upto > self.marks.get(key, 0):
            self.marks[key] = upto
            self.journal.settled(key, upto)

    @rule(key=st.sampled_from(KEYS), size=st.integers(1, 400))
    def accept(self, key: str, size: int) -> None:
        known = {part[0] for event in self.events for part in event.parts}
        payload = Random(self.count).randbytes(size)
        event = self._accept(key, payload, None)
        if event is None:
            return
        before = [p for p in event.parts if p[3] != payload]
        in_force = self._in_force()
        if key in known or in_force is None:
            assert before == []
        else:
            event_id, halt = in_force
            assert before == [(key, 1, event_id, halt)]
        assert event.parts[-1][:2] == (key, self._counter(key) + len(event.parts))
        self.events.append(event)

    @rule(halt=st.booleans())
    def control(self, halt: bool) -> None:
        keys = {part[0] for event in self.events for part in event.parts}
        payload = HALT if halt else RESUME
        event = self._accept(None, payload, {"trading": HALT if halt else b""})
        if event is None:
            return
        assert {(p[0], p[1]) for p in event.parts} == {(key, self._counter(key) + 1) for key in keys}
        event.births = HALT if halt else b""
        self.events.append(event)

    def _accept(self, key: str | None, payload: bytes, births: dict[str, bytes] | None) -> Event | None:
        self.count += 1
        webhook_id, fingerprint = f"w{self.count}", self.count.to_bytes(16, "big")
        assert self.journal.lookup("s", webhook_id) is None
        used = self.journal.bytes_used
        try:
            accepted = self.journal.accept("s", webhook_id, fingerprint, key, payload, births)
        except JournalFullError:
            return None
        kept = 0 if key is None else SETTINGS.segment_bytes
        assert self.journal.bytes_used == used or self.journal.bytes_used <= SETTINGS.max_bytes - kept
        assert accepted.jno > self.journal.synced
        assert accepted.accepted_us >= self.last_us
        self.last_us = accepted.accepted_us
        event = Event(webhook_id, accepted.jno, accepted.accepted_us, fingerprint)
        event.parts = [part(delivery) for delivery in accepted.deliveries]
        return event

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.events))
        if not self._within_retention(event):
            return
        with pytest.raises(DuplicateError):
            self.journal.accept("s", event.webhook_id, event.fingerprint, KEYS[0], b"again")

    @rule()
    def sync(self) -> None:
        synced = self.journal.sync()
        assert synced == self.journal.synced
        assert all(event.jno <= synced for event in self.events)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(KEYS))
        low, high = self.marks.get(key, 0), self._counter(key, synced_only=True)
        if high > low:
            self.marks[key] = data.draw(st.integers(low + 1, high))
            self.journal.settled(key, self.marks[key])

    @rule()
    def settle_all(self) -> None:
        for key in KEYS:
            high = self._counter(key, synced_only=True)
            if high > self.marks.get(key, 0):
                self.marks[key] = high
                self.journal.settled(key, high)

    @precondition(lambda self: self.events)
    @rule(data=st.data(), fate=st.sampled_from([Fate.EXPIRED, Fate.DEAD_LETTERED]))
    def decide_fate(self, data: st.DataObject, fate: Fate) -> None:
        key = data.draw(st.sampled_from(KEYS))
        low, high = self.marks.get(key, 0), self._counter(key, synced_only=True)
        if high > low:
            key_seq = data.draw(st.integers(low + 1, high))
            self.fates[key, key_seq] = (self.journal.fate(key, key_seq, fate), int(fate))

    @rule(seconds=st.integers(0, 40))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(s=seconds)

    @rule()
    def maintain(self) -> None:
        self.journal.maintain()

    @rule()
    def compact(self) -> None:
        self.journal.compact()

    # ---- what befalls it --------------------------------------------------------------------------------

    @rule()
    def killed(self) -> None:
        self._reopen(self.disk.copy())

    @rule(seed=st.integers(0, 10**6))
    def power_cut(self, seed: int) -> None:
        self._reopen(self.disk.power_cut(Random(seed)))

    @rule()
    def closed_and_opened(self) -> None:
        self.sync()
        depth = self.journal.depth
        self.journal.close()
        self._reopen(self.disk)
        assert len(self.journal.recovered) == self.journal.depth == depth, "a mark was not persisted"

    @rule(back_s=st.integers(1, 100))
    def the_clock_steps_back(self, back_s: int) -> None:
        self.clock.step_wall(-back_s * 1_000_000)

    def _reopen(self, disk: MemoryDisk) -> None:
        synced = self.journal.synced
        self.disk = disk
        self.journal = Journal.on(disk, SETTINGS, self.clock)
        recovered = {(d.key, d.key_seq): d for d in self.journal.recovered}
        accepted = {p[:2]: p for event in self.events for p in event.parts}
        for at, delivery in recovered.items():
            assert part(delivery) == accepted[at], "an invented record"
            decided, fate = self.fates.get(at, (0, 0))
            assert delivery.fate == fate or decided > synced
        back = [event.jno <= synced or self._came_back(event, recovered) for event in self.events]
        assert back == sorted(back, reverse=True), "a later event came back without an earlier one"
        self.events = [event for event, came in zip(self.events, back, strict=True) if came]
        for event in self.events:
            for key, key_seq, *_ in event.parts:
                assert key_seq <= self.marks.get(key, 0) or (key, key_seq) in recovered, "a loss"
        self.last_us = max((event.accepted_us for event in self.events), default=0)
        self._order_is_kept()
        self.fates = {at: (0, d.fate) for at, d in recovered.items() if d.fate}

    def _came_back(self, event: Event, recovered: dict[tuple[str, int], Delivery]) -> bool:
        if event.parts:
            return event.parts[-1][:2] in recovered
        known = self.journal.lookup("s", event.webhook_id)
        return known is not None

    def _order_is_kept(self) -> None:
        last: dict[str, int] = {}
        for delivery in self.journal.recovered:
            before = last.get(delivery.key)
            assert before is None or delivery.key_seq == before + 1
            last[delivery.key] = delivery.key_seq
        for key in KEYS:
            assert self.journal.last(key)[0] == self._counter(key)

    # ---- the model --------------------------------------------------------------------------------------

    def _counter(self, key: str, *, synced_only: bool = False) -> int:
        numbers = [
            p[1]
            for event in self.events
            for p in event.parts
            if p[0] == key and (not synced_only or event.jno <= self.journal.synced)
        ]
        return max(numbers, default=0)

    def _in_force(self) -> tuple[bytes, bytes] | None:
        last = next((event for event in reversed(self.events) if event.births is not None), None)
        if last is None or not last.births:
            return None
        return event_id("s", last.webhook_id, last.jno), last.births

    def _within_retention(self, event: Event) -> bool:
        """By the latest time ever seen: what was out of retention once may stay forgotten."""
        self.seen_us = max(self.seen_us, self.clock.wall_us())
        return self.seen_us - event.accepted_us < SETTINGS.retention_s * 1_000_000

    @invariant()
    def known_within_retention_only(self) -> None:
        for event in self.events[-20:]:
            known = self.journal.lookup("s", event.webhook_id)
            if self._within_retention(event):
                assert known is not None
            if known is not None:
                now_us = max(self.clock.wall_us(), self.last_us)
                assert now_us - event.accepted_us < SETTINGS.retention_s * 1_000_000
                assert (known.jno, known.fingerprint) == (event.jno, event.fingerprint)
                assert known.accepted_us == event.accepted_us
                assert known.synced == (event.jno <= self.journal.synced)

    @invariant()
    def bounded(self) -> None:
        """What is accepted stays within max_bytes, a halt too, though that may take the room kept for
        carrying (see `_accept`). What frees room is written even when there is none: marks and fates, dead
        as soon as newer ones follow. Carrying begins when a quarter of the whole is dead, a third of the
        rest, not counting the segment that still grows; one segment is carried at a time, and its copy with
        its counters begins at most two.
        """
        beyond = SETTINGS.max_bytes // 3 + 3 * SETTINGS.segment_bytes
        assert self.journal.bytes_used <= SETTINGS.max_bytes + beyond


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
