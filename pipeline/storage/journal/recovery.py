"""Opens what an earlier run left: everything synced comes back intact, or the start is refused.

What proves a loss, and so refuses the start:
- the mark, or a group further on, names a synced sequence that is not there;
- a later segment was begun (its header is written only after everything before it was synced);
- a segment is missing that no BASE record declares gone;
- both slots of the mark are unreadable (no crash does that) and the end of the last segment is not clean.
Anything else after the last intact record was being written when the power went: never acknowledged,
never dispatched, and so zeroed.
"""

from __future__ import annotations

from msgspec import Struct

from pipeline.clock import Clock
from pipeline.delivery import Delivery
from pipeline.errors import DamagedError
from pipeline.storage.journal.disk import Disk
from pipeline.storage.journal.index import Index
from pipeline.storage.journal.layout import MARK_FILE, Header, Mark, segment_name, segment_number
from pipeline.storage.journal.mark import MarkFile, read_mark
from pipeline.storage.journal.replay import Replay
from pipeline.storage.journal.scan import SegmentScan, scan_segment
from pipeline.storage.journal.segment import Segment

ZEROING_FILE = "zeroing"


class Recovered(Struct):
    """All that the journal knew."""

    segments: dict[int, Segment]
    next_sequence: int
    mark: MarkFile
    replay: Replay
    deliveries: list[Delivery]


def recover(disk: Disk, clock: Clock, index: Index, oldest_us: int) -> Recovered:
    """Read, judge and mend the folder. Events accepted before `oldest_us` are not put into `index`.

    Raises DamagedError naming file and offset, or OSError.
    """
    numbers = sorted(n for n in map(segment_number, disk.names()) if n is not None)
    mark = read_mark(disk) if MARK_FILE in disk.names() else None
    reading = _Reading(disk, Replay(index, oldest_us), mark)
    for number in numbers:
        reading.take(number)
    reading.judge(fresh=not numbers)
    deliveries = reading.replay.finish()
    reading.mend()
    synced = reading.next_sequence - 1
    generation = mark.generation + 1 if mark is not None else 0
    marks = MarkFile.create(disk, clock, Mark(generation, synced))
    return Recovered(reading.segments, reading.next_sequence, marks, reading.replay, deliveries)


class _Reading:
    """Goes through the segments in order and remembers what did not fit."""

    def __init__(self, disk: Disk, replay: Replay, mark: Mark | None) -> None:
        self._disk = disk
        self._mark = mark
        self._synced = mark.synced if mark is not None else 0
        self._unsynced_from: dict[int, int] = {}
        """By segment number: where the records begin that nothing proves to be synced."""
        self.replay = replay
        self.segments: dict[int, Segment] = {}
        self.next_sequence = 1
        self._previous: SegmentScan | None = None
        self._damages: list[tuple[int, int, str]] = []

    def take(self, number: int) -> None:
        name = segment_name(number)
        scan = scan_segment(number, self._disk.read(name, 0, self._disk.size(name)))
        self._synced = max(self._synced, scan.evidence)
        self._compare(scan)
        if scan.header is not None:
            self._apply(scan, scan.header)
        scan.records.clear()
        self._previous = scan

    def _compare(self, scan: SegmentScan) -> None:
        """Judge the segment before by this one."""
        before = self._previous
        if before is None:
            if scan.number > 1:
                self._damages.append((scan.number - 1, 0, "the file is missing"))
            return
        for missing in range(before.number + 1, scan.number):
            self._damages.append((missing, 0, "the file is missing"))
        if before.header is None:
            self._damages.append((before.number, 0, "the header is damaged"))
        elif (
            scan.header is not None
            and scan.number == before.number + 1
            and scan.header.first_sequence != self.next_sequence
        ):
            detail = f"record {self.next_sequence} is damaged or cut off"
            self._damages.append((before.number, before.end, detail))

    def _apply(self, scan: SegmentScan, header: Header) -> None:
        segment = Segment(*header, exists=True)
        segment.filled = scan.end
        self.segments[scan.number] = segment
        for record in scan.records:
            self.replay.apply(record, segment)
        self.next_sequence = header.first_sequence + len(scan.records)
        unproven = sum(record.size for record in scan.records if record.sequence > self._synced)
        if unproven:
            self._unsynced_from[scan.number] = scan.end - unproven

    def judge(self, *, fresh: bool) -> None:
        """Raise DamagedError if anything synced is not there."""
        for number, offset, detail in self._damages:
            if number >= self.replay.first_segment:
                raise self._damaged(segment_name(number), offset, detail)
        name, offset, clean = self._tail()
        if self._synced >= self.next_sequence:
            detail = f"record {self.next_sequence} is damaged or cut off; up to {self._synced} was synced"
            raise self._damaged(name, offset, detail)
        if self._mark is None and not fresh and not clean:
            detail = f"both slots are unreadable and {name} is damaged at byte {offset}"
            raise self._damaged(MARK_FILE, 0, detail)

    def _tail(self) -> tuple[str, int, bool]:
        """Where the journal ends: file, offset, and whether nothing follows."""
        last = self._previous
        if last is None:
            return segment_name(1), 0, True
        if last.header is None and last.clean and self.segments:
            end = next(reversed(self.segments.values()))
            return end.name, end.filled, True
        return segment_name(last.number), last.end, last.clean

    def mend(self) -> None:
        """Drop what is declared gone or was never begun; make what came back durable; zero what follows."""
        if self._previous is not None and self._previous.header is None:
            self._disk.unlink(segment_name(self._previous.number))
        for number in [n for n in self.segments if n < self.replay.first_segment]:
            self._disk.unlink(self.segments.pop(number).name)
        last = next(reversed(self.segments.values()), None)
        for segment in self.segments.values():
            if segment is last or segment.number in self._unsynced_from:
                self._rewrite(segment)
        if ZEROING_FILE in self._disk.names():
            self._disk.unlink(ZEROING_FILE)
        self._disk.sync_names()

    def _rewrite(self, segment: Segment) -> None:
        """Write what nothing proves to be synced again before believing a sync of it, and zero the rest.

        After a failed sync the kernel may hold pages that it calls clean and the disk does not have. So it is
        with the zeros: a file says that they were written and not synced, and is seen for as long as such
        pages are; whoever finds it writes them again, or what they cover could come back behind new records.
        """
        name = segment.name
        start = self._unsynced_from.get(segment.number, segment.filled)
        if start < segment.filled:
            self._disk.write(name, start, self._disk.read(name, start, segment.filled - start))
        rest = self._disk.read(name, segment.filled, segment.size - segment.filled)
        failed_before = ZEROING_FILE in self._disk.names()
        if failed_before or any(rest) or segment.filled + len(rest) < segment.size:
            if not failed_before:
                self._disk.create(ZEROING_FILE, 0)
            self._disk.write(name, segment.filled, bytes(segment.size - segment.filled))
        self._disk.sync(name)
        self._disk.release(name)

    def _damaged(self, name: str, offset: int, detail: str) -> DamagedError:
        return DamagedError(f"journal {self._disk.describe(name)}: damaged at byte {offset}: {detail}")
