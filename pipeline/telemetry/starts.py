"""What is under way in a writer: the STARTs of its ring, written in Python, read by who explains a death.

A START stands in a place of its own, not among the entries: there it takes no record's room, is not sampled
away and has no end that may be lost. Only who ends the call wipes it.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline import limits
from pipeline.telemetry.layout import ENTRIES_BYTE, EVENT_MASK, START_WORDS, STARTS, STARTS_BYTE

_PLACES = limits.MAX_OPEN_STARTS


class Start(NamedTuple):
    """Something that began and has not ended."""

    at_ns: int
    what: int
    """As in an entry: event and correlation."""


class Starts:
    """The STARTs of one ring, for its writer. Calls may end in another thread than they began in."""

    __slots__ = ("_free", "_held", "_unused", "_words")

    def __init__(self, words: memoryview[int]) -> None:
        self._words = words
        self._free: list[int] = []
        self._unused = iter(range(_PLACES))
        self._held: dict[tuple[int, int], list[int]] = {}
        """(time, event id) → places: two calls may begin in one ns."""

    def begin(self, at_ns: int, what: int) -> None:
        """Of what cannot be named, and beyond MAX_OPEN_STARTS, nothing is told. Never raises."""
        try:
            event_id = what & EVENT_MASK
            if not event_id or what >> 64:
                return
            place = self._free.pop() if self._free else next(self._unused, None)
            if place is None:
                return
            self._held.setdefault((at_ns, event_id), []).append(place)
            at = STARTS + place * START_WORDS
            self._words[at] = at_ns
            self._words[at + 1] = what
        except (TypeError, ValueError):  # not an event; or the ring was closed, or left behind by a fork
            return

    def end(self, at_ns: int, event_id: int) -> bool:
        """Whether it had begun here. Never raises."""
        try:
            places = self._held.get((at_ns, event_id))
            if not places:
                return False
            place = places.pop()
            if not places:
                self._held.pop((at_ns, event_id), None)
            self._words[STARTS + place * START_WORDS + 1] = 0
            self._free.append(place)
        except (TypeError, ValueError, IndexError):
            return False
        return True


def starts_in(header: bytes) -> list[Start]:
    """Those that stand in what comes before a ring's entries, the oldest first."""
    words = memoryview(header)[STARTS_BYTE:ENTRIES_BYTE].cast("q")
    places = range(0, len(words), START_WORDS)
    return sorted(Start(words[at], words[at + 1]) for at in places if words[at + 1])


assert STARTS_BYTE + _PLACES * START_WORDS * 8 == ENTRIES_BYTE
