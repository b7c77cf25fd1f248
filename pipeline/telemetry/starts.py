"""What is under way in a writer: the STARTs of its ring, written in Python, read by who explains a death.

A START stands in a place of its own, not among the entries: there it takes no record's room, is not sampled
away and has no end that may be lost. Only who ends the call wipes it; where all places are taken, the oldest
START makes room for a newer one, which says more.
"""

from __future__ import annotations

from contextlib import suppress
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

    __slots__ = ("_free", "_given_up", "_given_up_until_ns", "_held", "_unused", "_words")

    def __init__(self, words: memoryview[int]) -> None:
        self._words = words
        self._free: list[int] = []
        self._unused = iter(range(_PLACES))
        self._held: dict[tuple[int, int], list[int]] = {}
        """(time, event id) → places: two calls may begin in one ns. The oldest first."""
        self._given_up = 0
        """STARTs that made room for newer ones and have not ended."""
        self._given_up_until_ns = 0
        """When the newest of them began."""

    def begin(self, at_ns: int, what: int) -> None:
        """Of what cannot be named nothing is told. Never raises."""
        try:
            event_id = what & EVENT_MASK
            if not event_id or what >> 64:
                return
            place = self._free.pop() if self._free else next(self._unused, None)
            if place is None:
                place = self._oldest()
            if place is None:
                return
            self._held.setdefault((at_ns, event_id), []).append(place)
            at = STARTS + place * START_WORDS
            self._words[at] = at_ns
            self._words[at + 1] = what
        except (TypeError, ValueError, IndexError):
            return  # not an event; or the ring was closed, or left behind by a fork

    def end(self, at_ns: int, event_id: int) -> bool:
        """Whether it had begun here. Never raises."""
        with suppress(TypeError, ValueError, IndexError):
            place = self._take((at_ns, event_id))
            if place is not None:
                self._free.append(place)
                return True
        return False

    def end_likely(self, at_ns: int, event_id: int) -> bool:
        """Where none has both: who ends it gave another time, so the newest of the event ends; or another
        event, so what began then does. What made room for another ends none. Never raises."""
        with suppress(TypeError, ValueError):
            if self._given_up and at_ns <= self._given_up_until_ns:
                self._given_up -= 1
                return True
            for key in reversed(list(self._held)):
                if key[1] == event_id:
                    return self.end(*key)
        return self.end_at(at_ns)

    def end_at(self, at_ns: int) -> bool:
        """What began at that time, whatever it was. Never raises."""
        return any(self.end(*key) for key in list(self._held) if key[0] == at_ns)

    def _take(self, key: tuple[int, int]) -> int | None:
        places = self._held.get(key)
        if not places:
            return None
        place = places.pop()
        if not places:
            self._held.pop(key, None)
        self._words[STARTS + place * START_WORDS + 1] = 0
        return place

    def _oldest(self) -> int | None:
        for key in list(self._held):
            if (place := self._take(key)) is not None:
                self._given_up += 1
                self._given_up_until_ns = max(self._given_up_until_ns, key[0])
                return place
        return None


def starts_in(header: bytes) -> list[Start]:
    """Those that stand in what comes before a ring's entries, the oldest first."""
    words = memoryview(header)[STARTS_BYTE:ENTRIES_BYTE].cast("q")
    places = range(0, len(words), START_WORDS)
    return sorted(Start(words[at], words[at + 1]) for at in places if words[at + 1])


assert STARTS_BYTE + _PLACES * START_WORDS * 8 == ENTRIES_BYTE
