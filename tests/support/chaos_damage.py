"""A real run's journal, cut off and changed byte by byte: all it held comes back, or it is refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.clock import Clock, FakeClock, SystemClock
from pipeline.config.schema import Journal as Settings
from pipeline.errors import DamagedError, RinglineError
from pipeline.storage.journal import Journal
from pipeline.storage.journal.layout import HEADER_BYTES, MARK_FILE, MARK_SLOT_BYTES, MARK_STRIDE


class Sample(NamedTuple):
    """Which bytes are tried: those around the last record of a segment (of its last records, and of the zeros
    behind), and so many anywhere."""

    before_end_bytes: int
    behind_end_bytes: int
    places: int


LONG = Sample(160, 32, 200)
SHORT = Sample(48, 16, 24)


class Change(NamedTuple):
    """One damage: `file` is cut off at `where`, or has the bits of `mask` changed there."""

    file: str
    where: int
    mask: int
    """0: cut off."""

    def __str__(self) -> str:
        return f"{self.file} {'changed' if self.mask else 'cut off'} at {self.where}"


class Copy:
    """A journal's `Disk` in memory: shares the files it was made of until it writes to them."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files: dict[str, bytes | bytearray] = dict(files)

    def names(self) -> list[str]:
        return list(self._files)

    def size(self, name: str) -> int:
        return len(self._files[name])

    def read(self, name: str, offset: int, length: int) -> bytes:
        return bytes(self._files[name][offset : offset + length])

    def create(self, name: str, size: int) -> None:
        self._files[name] = bytearray(size)

    def write(self, name: str, offset: int, data: bytes | bytearray) -> None:
        own = bytearray(self._files[name])
        own[offset : offset + len(data)] = data
        self._files[name] = own

    def sync(self, name: str) -> None:
        """There is nothing behind it."""

    def rename(self, old: str, new: str) -> None:
        self._files[new] = self._files.pop(old)

    def unlink(self, name: str) -> None:
        del self._files[name]

    def sync_names(self) -> None: ...

    def aside(self, action: Callable[[], None]) -> Callable[[], None]:
        action()
        return lambda: None

    def release(self, name: str) -> None: ...

    def close(self) -> None: ...

    def describe(self, name: str) -> str:
        return f"copy:{name}"

    def with_change(self, change: Change) -> Copy:
        files = {name: bytes(data) for name, data in self._files.items()}
        data = bytearray(files[change.file])
        if change.mask:
            data[change.where] ^= change.mask
        else:
            del data[change.where :]
        return Copy({**files, change.file: bytes(data)})


class Damages(NamedTuple):
    """What came of all changes."""

    tried: int
    refused: int
    faults: list[str]


def damage(
    folder: Path, settings: Settings, identities: Sequence[tuple[str, str]], seed: int, sample: Sample
) -> Damages:
    """`identities`: (source, webhook-id) of what the journal may know."""
    files = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file() and one.stat().st_size}
    clock = FakeClock(wall_us=SystemClock().wall_us())  # what is kept for a while must not end in between
    whole = Copy(files)
    intact = held(whole.with_change(Change(MARK_FILE, len(files[MARK_FILE]), 0)), settings, clock, identities)
    faults, tried, refused = [], 0, 0
    for change in changes(files, random.Random(seed), sample):
        tried += 1
        try:
            if held(whole.with_change(change), settings, clock, identities) != intact:
                faults.append(f"{change}: opened, and holds something else")
        except DamagedError as error:
            refused += 1
            if "copy:" not in str(error) or "damaged at byte" not in str(error):
                faults.append(f"{change}: refused, and not said where: {error}")
        except RinglineError as error:
            faults.append(f"{change}: refused as something else: {error}")
    return Damages(tried, refused, faults)


def changes(files: dict[str, bytes], dice: random.Random, sample: Sample) -> Iterator[Change]:
    """Every byte of the mark's slots, of the last two segments' headers and around their ends, changed and
    cut off; and some anywhere."""
    segments = sorted(name for name in files if name.endswith(".seg"))
    places = [(MARK_FILE, slot + byte) for slot in (0, MARK_STRIDE) for byte in range(MARK_SLOT_BYTES)]
    for name in segments[-2:]:
        end = len(files[name].rstrip(b"\0"))
        first = max(HEADER_BYTES, end - sample.before_end_bytes)
        last = min(len(files[name]), end + sample.behind_end_bytes)
        places += [(name, byte) for byte in (*range(HEADER_BYTES), *range(first, last))]
    for _ in range(sample.places):
        name = dice.choice(segments)
        places.append((name, dice.randrange(len(files[name].rstrip(b"\0")) or 1)))
    for name, where in places:
        yield Change(name, where, 1 << dice.randrange(8))
        yield Change(name, where, 0)


def held(disk: Copy, settings: Settings, clock: Clock, identities: Sequence[tuple[str, str]]) -> Any:
    """All that a journal says it knows. Raises what opening it raises."""
    journal = Journal.on(disk, settings, clock)
    known = [journal.lookup(*identity) for identity in identities]
    lasts = {key: journal.last(key) for key in journal.settled_keys()}
    return lasts, journal.depth, [one.event_id for one in journal.recovered], known
