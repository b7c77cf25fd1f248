"""What a writer says that it dropped, believed as far as it can be true.

The counters only rise, and no faster than anybody can make calls: since they were looked at before or, at the
first look, since the writer's process began.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from pipeline.telemetry import layout
from pipeline.telemetry.layout import Identity, RefusedRingError

LEAST_RECORD_NS = 10
"""No call takes less, written, dropped or left out by sampling: reading the clock alone takes longer."""
DROPPED_AT_ONCE = 1 << 24
"""May be added to a counter of dropped entries in no time: clocks of two processes, and weights."""
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")


class Drops:
    """The counters of one ring."""

    __slots__ = ("_before", "_now", "facts_seen", "seen")

    def __init__(self, words: memoryview[int], identity: Identity, now: Callable[[], int]) -> None:
        self.seen = words[layout.DROPPED_SEEN]
        """Calls that were told."""
        self.facts_seen = words[layout.FACTS_SEEN]
        """Counts and gauges that were told."""
        self._now = now
        self._before = (0, 0, now() - _age_ns(identity))
        """Calls and facts dropped at some time before, ns."""

    def are_new(self, words: memoryview[int]) -> bool:
        """Whether there are some that were not told."""
        return words[layout.DROPPED] != self.seen or words[layout.FACTS_DROPPED] != self.facts_seen

    def take(self, words: memoryview[int]) -> tuple[int, int]:
        """Calls and facts dropped, less those told before. Raises RefusedRingError when that cannot be."""
        dropped, facts = words[layout.DROPPED], words[layout.FACTS_DROPPED]
        new, new_facts = dropped - self.seen, facts - self.facts_seen
        if new < 0 or new_facts < 0:
            raise RefusedRingError("absurd_dropped", f"fewer than were told: {dropped} calls, {facts} facts")
        if new or new_facts:
            self.bound(words)
            self.seen, self.facts_seen = dropped, facts
        return new, new_facts

    def bound(self, words: memoryview[int]) -> None:
        """Raises RefusedRingError when nobody can have dropped so much since the last look. To be asked now
        and then, also where nothing is dropped."""
        dropped, facts = words[layout.DROPPED], words[layout.FACTS_DROPPED]
        before, facts_before, then_ns = self._before
        now_ns = self._now()
        possible = DROPPED_AT_ONCE + (now_ns - then_ns) // LEAST_RECORD_NS
        if max(dropped - before, facts - facts_before) > possible:
            raise RefusedRingError("absurd_dropped", f"{dropped} calls and {facts} facts")
        self._before = (dropped, facts, now_ns)


def _age_ns(identity: Identity) -> int:
    """How long ago the writer's process began at most: that of the machine where it is not known."""
    up_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return max(0, up_ns - identity.process_start * TICK_NS)
