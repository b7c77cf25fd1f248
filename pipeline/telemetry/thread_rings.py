"""The rings of this process's threads: each is made when its thread first records, in memory or, once records
are published, as a file that a collector finds."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline import limits
from pipeline.telemetry.alive import Alive
from pipeline.telemetry.calls import ThreadPart, close_finished
from pipeline.telemetry.layout import Mode
from pipeline.telemetry.ring import Ring, create_ring, memory_ring

logger = logging.getLogger(__name__)

UNASKED_RINGS = 64
"""Rings in this process above which those of ended threads are looked for although nobody asks."""
LAST_OF_ALL = -100
"""Of what multiprocessing does at the end of a child: the others may still record."""
InMemory = tuple[Ring, "weakref.ref[ThreadPart]"]
"""A ring that is read in this process, and whose it is."""


class ThreadRings:
    """Where each thread's records go."""

    def __init__(
        self,
        rate_now: Callable[[], float],
        sampled: Callable[[], bool],
        tell: Callable[[int, int], None],
        crowded: Callable[[], None],
    ) -> None:
        """`rate_now`: the share of calls that is kept; `sampled`: whether records must pass their samplers;
        `tell`: see `Sampler`; `crowded` is called when there are many rings."""
        self.directory: Path | None = None
        """Where records are published; None while they stay in this process."""
        self._worker = "process"
        self._entries = limits.DEFAULT_RING_ENTRIES
        self._mode = Mode.DROP_NEWEST
        self._rate_now = rate_now
        self._sampled = sampled
        self._tell = tell
        self._crowded = crowded
        self.forget()

    def forget(self) -> None:
        """What a forked child must not share with its parent."""
        self._parts: Alive[ThreadPart] = Alive()
        self._in_memory: list[InMemory] = []
        self._crowded_above = UNASKED_RINGS
        self._warned = False
        self._ends_well = False
        """Whether the rings of this process are closed when it ends."""

    def publish(self, directory: Path, worker: str, entries: int, mode: Mode) -> None:
        """Threads that open from now on write files in `directory`."""
        self.directory, self._worker, self._entries, self._mode = directory, worker, entries, mode
        self._warned = False

    def hand_over(self, untold: int) -> None:
        """What waits in memory, to the directory (see `handover`): once all threads open anew."""
        from pipeline.telemetry.handover import hand_over  # not for those who only record

        pairs, self._in_memory = self._in_memory, []
        rings, directory = [ring for ring, _ in pairs], self.directory
        assert directory is not None
        try:
            hand_over(rings, untold, lambda entries: create_ring(directory, self._worker, entries))
        except Exception as error:
            self._warn(error)
        for ring in rings:
            ring.close()

    def open(self) -> ThreadPart:
        """A ring for this thread; none when it cannot be had, for whatever reason: this is called by what is
        measured."""
        ring = None
        try:
            ring = self._make()
            part = self._part_of(ring)
        except Exception as error:
            self._warn(error)
            if ring is not None:
                with suppress(Exception):  # it was warned
                    ring.close()
            return ThreadPart(None, self._rate_now)
        if len(self._in_memory) > self._crowded_above:
            try:
                self._crowded()
            except Exception as error:
                self._warn(error)
        return part

    def _part_of(self, ring: Ring) -> ThreadPart:
        part = ThreadPart(ring, self._rate_now, self._tell)
        if self._sampled():
            part.sample()
        self._parts.add(part)
        if ring.path is None:
            # No lock: this may run in a signal handler or gc callback of a thread that holds it.
            self._in_memory.append((ring, weakref.ref(part)))
        else:
            weakref.finalize(part, ring.close)
            self._end_well()
        return part

    def in_memory(self) -> list[InMemory]:
        """Those to be read in this process."""
        return list(self._in_memory)

    def drained(self, pairs: Sequence[InMemory]) -> None:
        """These were read: the ones whose threads have ended are closed."""
        for pair in pairs:
            if close_finished(*pair):
                self._in_memory.remove(pair)
        self._crowded_above = max(UNASKED_RINGS, 2 * len(self._in_memory))

    def sample(self) -> None:
        """Let every thread's records pass its sampler."""
        for part in self._parts.all():
            part.sample()

    def close(self) -> None:
        """The rings in memory; what threads record into them goes nowhere."""
        for ring, _ in self._in_memory:
            ring.close()

    def _make(self) -> Ring:
        if self.directory is None:
            return memory_ring(self._worker, self._entries)
        return create_ring(self.directory, self._worker, self._entries, mode=self._mode)

    def _warn(self, error: Exception) -> None:
        """Once: there may be thousands of threads."""
        if not self._warned:
            self._warned = True
            where = "memory" if self.directory is None else str(self.directory)
            with suppress(Exception):  # whatever a log handler raises
                logger.warning(
                    "telemetry is off in threads that get no ring: none in %s: %s",
                    where,
                    str(error) or repr(error),
                )

    def _end_well(self) -> None:
        """A child that multiprocessing forked ends without atexit, by a list of its own: on that, so that it
        is not taken for one that died."""
        process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
        if not self._ends_well and process and util and process.parent_process() is not None:
            util.Finalize(None, self._close_all, exitpriority=LAST_OF_ALL)
        self._ends_well = True

    def _close_all(self) -> None:
        for part in self._parts.all():
            if part.ring is not None:
                part.ring.close()
