"""Counters, settled marks, fates and the whereabouts of what is not settled, for each key."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from pipeline.errors import DamagedError
from pipeline.storage.journal.segment import Segment


class KeyEntry:
    """`counter` is the last key_seq given, `mark` the last one settled; `pending` has those between, each
    as (segment, bytes, accepted_us). `home` is the segment with the latest KEYS record (None: no such).
    """

    __slots__ = ("bytes", "counter", "fates", "home", "mark", "pending")

    def __init__(self) -> None:
        self.counter = 0
        self.mark = 0
        self.bytes = 0
        self.pending: deque[tuple[Segment, int, int]] = deque()
        self.fates: dict[int, int] = {}
        self.home: Segment | None = None


class KeyTable:
    """All keys ever seen. Not thread-safe: it belongs to the event loop."""

    def __init__(self) -> None:
        self.entries: dict[str, KeyEntry] = {}
        self._unsettled: dict[str, KeyEntry] = {}
        self.dirty: set[str] = set()
        """Keys whose mark has moved since their latest KEYS record."""
        self.stopped: set[str] = set()
        """Keys that wait for people: they do not count for the age of the oldest."""
        self.depth = 0
        """Parts not settled."""

    def entry(self, key: str) -> KeyEntry:
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = KeyEntry()
        return entry

    def add(self, key: str, segment: Segment, size: int, accepted_us: int) -> None:
        """The key's next part lies in `segment`."""
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = KeyEntry()
        if not entry.pending:
            self._unsettled[key] = entry
        entry.counter += 1
        entry.bytes += size
        entry.pending.append((segment, size, accepted_us))
        segment.live += 1
        segment.live_bytes += size
        self.depth += 1

    def settle(self, key: str, last: int) -> None:
        """Everything of `key` up to `last` is audited.

        Raises DamagedError when the audit has more of the key than the journal ever gave out.
        """
        entry = self.entries.get(key)
        counter = 0 if entry is None else entry.counter
        if entry is None or last > counter:
            raise DamagedError(
                f"journal: key {key} is settled up to {last}, but only {counter} were ever accepted: "
                "this journal does not belong to this audit"
            )
        if last <= entry.mark:
            return
        for key_seq in range(entry.mark + 1, last + 1):
            segment, size, _ = entry.pending.popleft()
            segment.live -= 1
            segment.live_bytes -= size
            entry.bytes -= size
            if entry.fates:
                entry.fates.pop(key_seq, None)
        self.depth -= last - entry.mark
        entry.mark = last
        if not entry.pending:
            del self._unsettled[key]
        self.dirty.add(key)

    def rehome(self, entry: KeyEntry, key_seq: int, segment: Segment) -> None:
        """The part now lies in `segment`, copied forward."""
        index = key_seq - entry.mark - 1
        old, size, accepted_us = entry.pending[index]
        old.live -= 1
        old.live_bytes -= size
        segment.live += 1
        segment.live_bytes += size
        entry.pending[index] = (segment, size, accepted_us)

    def recorded(self, keys: Iterable[str], segment: Segment) -> None:
        """A KEYS record of `keys` as they are now lies in `segment`."""
        for key in keys:
            entry = self.entries[key]
            if entry.home is not None:
                entry.home.keys.discard(key)
            entry.home = segment
            segment.keys.add(key)
            self.dirty.discard(key)

    def oldest_accepted_us(self) -> int | None:
        """When the oldest unsettled event was accepted; looks at every key that has one."""
        counted = (entry for key, entry in self._unsettled.items() if key not in self.stopped)
        return min((entry.pending[0][2] for entry in counted), default=None)
