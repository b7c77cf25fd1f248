"""A journal that was filled takes events again once they are settled, whatever it has to remember of them."""

from __future__ import annotations

from collections import deque

from pipeline import limits
from pipeline.clock import FakeClock
from pipeline.config.schema import Journal as Settings
from pipeline.storage.journal import Journal, JournalFullError
from pipeline.storage.journal.memory_disk import MemoryDisk

SETTINGS = Settings(segment_bytes=64 * limits.KIB, max_bytes=limits.MIB, keep_settled_s=0)
SETTLED_A_TURN = 40
TURNS = 150
"""Of ten times what is settled: then identities fill nearly half of the journal."""


class Overloaded:
    """A journal whose events are settled at one pace, and come at another."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.journal = Journal.on(MemoryDisk(), SETTINGS, self.clock)
        self.waiting: deque[tuple[str, int]] = deque()
        self.count = 0

    def turn(self, come: int, settled: int = SETTLED_A_TURN) -> bool:
        """A tenth of a second; whether the journal took them all."""
        taken = True
        for _ in range(come):
            try:
                key = f"K{self.count % 64}"
                accepted = self.journal.accept("free", f"w{self.count}", bytes(16), key, bytes(45))
            except JournalFullError:
                taken = False
                break
            self.count += 1
            self.waiting.extend((one.key, one.key_seq) for one in accepted.deliveries)
        self.clock.advance(ms=100)
        self.journal.sync()
        self.journal.maintain()
        self.journal.sync()
        for _ in range(min(settled, len(self.waiting))):
            self.journal.settled(*self.waiting.popleft())
        return taken


def test_events_are_taken_again_as_soon_as_all_are_settled_also_within_retention() -> None:
    """Found by `ringline bench overload`: a mark had begun the last segment, half of the journal was
    identities, and it stayed full for as long as it has to know them."""
    bench = Overloaded()
    while bench.count < 3000:
        bench.turn(50, settled=50)
    for _ in range(TURNS):
        bench.turn(400)
    while bench.waiting:
        bench.turn(1)
    for _ in range(20):
        bench.turn(0)
    assert bench.journal.depth == 0
    assert bench.turn(100)
    assert bench.journal.bytes_used <= SETTINGS.max_bytes
