"""The growing end of the journal: records are appended in memory and reach the disk by group commit.

`append` belongs to the event loop and never waits for the disk; `sync` runs in one executor thread at a
time and does all the writing. Order of a sync: the data, segment by segment, each synced before the next
is touched; then the mark; then the segments that this commit made superfluous are unlinked.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from pipeline.storage.journal.disk import Disk
from pipeline.storage.journal.errors import DiskFullError, JournalBrokenError
from pipeline.storage.journal.layout import (
    GROUP,
    GROUP_BYTES,
    HEADER_BYTES,
    RECORD_HEAD_BYTES,
    WORD,
    Header,
    pack_header,
    pack_record,
)
from pipeline.storage.journal.mark import MarkFile
from pipeline.storage.journal.segment import Segment
from pipeline.storage.journal.spare import Spare


class _Chunk:
    """What a batch adds to one segment. `group` is the sequence of the GROUP record it starts with."""

    __slots__ = ("data", "group", "offset", "segment")

    def __init__(self, segment: Segment, offset: int) -> None:
        self.segment = segment
        self.offset = offset
        self.data = bytearray()
        self.group = 0


class Log:
    """Appends and syncs. `segments` are all that exist, by number, oldest first; the last one grows."""

    def __init__(
        self,
        disk: Disk,
        mark: MarkFile,
        spare: Spare,
        segment_bytes: int,
        segments: dict[int, Segment],
        next_sequence: int,
    ) -> None:
        self._disk = disk
        self._mark = mark
        self._spare = spare
        self._segment_bytes = segment_bytes
        self.segments = segments
        self.active: Segment | None = next(reversed(segments.values()), None)
        self._next_sequence = next_sequence
        self._next_number = self.active.number + 1 if self.active else 1
        self._synced = next_sequence - 1
        self._pending: list[_Chunk] = []
        self._chunk: _Chunk | None = None
        self._lock = threading.Lock()
        self._doomed: deque[tuple[int, Segment]] = deque()
        self.bytes_used = sum(segment.size for segment in segments.values())
        self.broken: JournalBrokenError | None = None
        self.stalled = False
        """The last sync found no space; the batch waits in memory for the next one."""

    @property
    def synced(self) -> int:
        """Everything up to this sequence is on disk."""
        return self._synced

    @property
    def unsynced(self) -> bool:
        """Something waits for a sync."""
        return self._synced < self._next_sequence - 1

    @property
    def dooming(self) -> bool:
        """A segment waits to be unlinked."""
        return bool(self._doomed)

    def growth(self, body_bytes: int) -> int:
        """Bytes of disk that a record with such a body would newly take: 0, or a whole segment."""
        need = RECORD_HEAD_BYTES + body_bytes + (GROUP_BYTES if self._chunk is None else 0)
        if self.active is not None and self.active.filled + need <= self.active.size:
            return 0
        return max(self._segment_bytes, HEADER_BYTES + need)

    def append(self, tag: bytes, body: bytes) -> int:
        """Add a record in memory and return its sequence. `active` is the segment it went to."""
        with self._lock:
            chunk, segment = self._chunk, self.active
            sequence = self._next_sequence
            size = RECORD_HEAD_BYTES + len(body)
            if chunk is not None and chunk.segment is segment and segment.filled + size <= segment.size:
                chunk.data += pack_record(sequence, tag, body, segment.salt)
                segment.filled += size
                self._next_sequence = sequence + 1
                return sequence
            if chunk is None:
                # Both into one file, as `growth` has promised: a group alone must not begin a segment.
                self._make_room(GROUP_BYTES + size)
                chunk = self._put(GROUP, WORD.pack(0))
                chunk.group = sequence
            self._put(tag, body)
            return self._next_sequence - 1

    def sync(self) -> int:
        """Bring everything appended so far to disk; returns the synced sequence.

        Raises DiskFullError (call again later, nothing is lost) or JournalBrokenError (final: after a
        failed sync nobody knows what the disk holds, so it is never tried again).
        """
        if self.broken is not None:
            raise self.broken
        with self._lock:
            batch, self._pending, self._chunk = self._pending, [], None
            upto = self._next_sequence - 1
        if batch:
            self._commit(batch)
            self._guard(lambda: self._mark.write(upto))
            self._synced = upto
        self._guard(self._unlink_doomed)
        return self._synced

    def doom(self, segment: Segment, sequence: int) -> None:
        """Unlink `segment` once `sequence` is synced."""
        self._doomed.append((sequence, segment))

    def reap(self) -> None:
        """Forget the segments that were unlinked since."""
        for number in [n for n, segment in self.segments.items() if segment.gone]:
            self.bytes_used -= self.segments.pop(number).size

    def close(self) -> None:
        """Sync what is left, and the mark. Raises as `sync` does."""
        try:
            if self.broken is None:
                self.sync()
                self._guard(self._mark.sync)
        finally:
            self._spare.join()

    def _put(self, tag: bytes, body: bytes) -> _Chunk:
        size = RECORD_HEAD_BYTES + len(body)
        segment = self._make_room(size)
        chunk = self._chunk
        if chunk is None or chunk.segment is not segment:
            chunk = self._begin_chunk(segment)
        chunk.data += pack_record(self._next_sequence, tag, body, segment.salt)
        segment.filled += size
        self._next_sequence += 1
        return chunk

    def _make_room(self, size: int) -> Segment:
        segment = self.active
        if segment is None or segment.filled + size > segment.size:
            segment = self._rotate(HEADER_BYTES + size)
        return segment

    def _rotate(self, need: int) -> Segment:
        size = max(self._segment_bytes, need)
        salt = int.from_bytes(os.urandom(4), "little")
        segment = Segment(self._next_number, size, self._next_sequence, salt, exists=False)
        self._next_number += 1
        self.segments[segment.number] = segment
        self.active = segment
        self.bytes_used += size
        return segment

    def _begin_chunk(self, segment: Segment) -> _Chunk:
        fresh = segment.filled == HEADER_BYTES and segment.first_sequence == self._next_sequence
        chunk = self._chunk = _Chunk(segment, 0 if fresh else segment.filled)
        if fresh:
            chunk.data += pack_header(
                Header(segment.number, segment.size, segment.first_sequence, segment.salt)
            )
        self._pending.append(chunk)
        return chunk

    def _commit(self, batch: list[_Chunk]) -> None:
        try:
            while batch:
                self._write(batch[0])
                done = batch.pop(0)
                if batch:
                    self._disk.release(done.segment.name)
        except DiskFullError:
            with self._lock:
                self._pending = batch + self._pending
            self.stalled = True
            raise
        self.stalled = False

    def _write(self, chunk: _Chunk) -> None:
        segment = chunk.segment
        if chunk.group:
            start = HEADER_BYTES if chunk.offset == 0 else 0
            record = pack_record(chunk.group, GROUP, WORD.pack(self._synced), segment.salt)
            chunk.data[start : start + len(record)] = record
        try:
            if not segment.exists:
                self._spare.take(segment.name, segment.size)
                segment.exists = True
            self._disk.write(segment.name, chunk.offset, chunk.data)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                where = self._disk.describe(segment.name)
                raise DiskFullError(f"journal {where}: no space left on the disk") from None
            self._break(error)
        self._guard(lambda: self._disk.sync(segment.name))
        if 2 * (chunk.offset + len(chunk.data)) > segment.size:
            self._spare.prepare()

    def _unlink_doomed(self) -> None:
        while self._doomed and self._doomed[0][0] <= self._synced:
            _, segment = self._doomed.popleft()
            self._disk.unlink(segment.name)
            segment.gone = True

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self._break(error)

    def _break(self, error: OSError) -> NoReturn:
        self.broken = JournalBrokenError(
            f"journal {self._disk.describe('')}: the disk failed ({error.strerror or error}); "
            "nothing more is accepted until it is opened anew"
        )
        raise self.broken from error
