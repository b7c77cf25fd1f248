"""Ring files: how one comes to be, is held by its living writer, and ends.

A ring appears whole: space is taken with `posix_fallocate` (on a full tmpfs a store into a mapping would
be a SIGBUS), the header is written, the lock is taken, and only then does `rename` give it the name that
collectors look for. Its writer holds an exclusive `flock` for as long as it lives, which works across the
pid namespaces of a pod. Attaching never initialises and never unlinks.

The lock has a file description of its own: `mmap` keeps a duplicate of the descriptor it was given, and a
forked child would hold the lock of its dead parent through it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.telemetry import layout
from pipeline.telemetry.alive import Alive
from pipeline.telemetry.layout import Identity, Mode, Proof
from pipeline.telemetry.left_rings import RING_SUFFIX, give_back, remove_oldest
from pipeline.telemetry.names import on_register, registered
from pipeline.telemetry.native import extension
from pipeline.telemetry.starts import Starts
from pipeline.telemetry.writer import Put, make_put

if TYPE_CHECKING:
    from pipeline.telemetry._fast import Writer

DRAFT_SUFFIX = ".draft"
"""A ring that is being made; a collector removes it once nobody holds its lock."""
FLIGHT_SUFFIX = ".flight"
"""What a collector keeps of a crashed writer (see `flight`)."""
COLLECTOR_LOCK = "collector.lock"
Now = Callable[[], int]
"""Nanoseconds of CLOCK_MONOTONIC."""


class Ring:
    """A mapped ring and its writer. One thread writes; see `writer` for what else is survived."""

    __slots__ = (
        "__weakref__", "_body", "_lock_fd", "identity", "memory", "native", "path", "put", "starts", "words",
    )  # fmt: skip

    def __init__(self, memory: mmap.mmap, identity: Identity, path: Path | None, lock_fd: int) -> None:
        self.memory = memory
        self._lock_fd = lock_fd
        self.identity = identity
        self.path = path
        whole = memoryview(memory)
        self.words = whole.cast("Q")
        self._body = whole[layout.ENTRIES_BYTE :]
        flight, mixed = identity.mode == Mode.FLIGHT_RECORDER, identity.proof == Proof.MIXED
        self.native: Writer | None = None
        """The extension's writer of this ring, where it is in use."""
        self.starts = Starts(self.words)
        """What is under way, for writers in Python."""
        if extension is None:
            self.put: Put = make_put(self.words, self._body, identity.capacity, identity.mode, identity.proof)
        else:
            self.native = extension.Writer(memory, identity.capacity, flight, mixed)
            self.put = self.native.put
        _open_rings.add(self)
        if path is not None:
            self._add_names()

    @property
    def dropped(self) -> int:
        """Calls whose entries the writer dropped since the ring was made; 0 once closed."""
        with suppress(ValueError):
            return self.words[layout.DROPPED]
        return 0

    @property
    def facts_dropped(self) -> int:
        """Counts and gauges that the writer dropped since the ring was made; 0 once closed."""
        with suppress(ValueError):
            return self.words[layout.FACTS_DROPPED]
        return 0

    @property
    def waiting(self) -> int:
        """Entries that the reader has not taken; 0 once closed."""
        with suppress(ValueError):
            return self.words[layout.HEAD] - self.words[layout.TAIL]
        return 0

    def announce(self, calls: int) -> None:
        """An entry may stand for so many calls from now on: told before there is one, for who misses it."""
        with suppress(ValueError):  # closed, or left behind by a fork
            self.words[layout.LARGEST_WEIGHT] = max(calls - 1, self.words[layout.LARGEST_WEIGHT])

    def _add_names(self) -> None:
        """Say all that is registered. Other threads and signal handlers may be at it, too: all write the
        same bytes, and whoever was late looks again."""
        with suppress(ValueError):  # closed, or left behind by a fork
            while self.words[layout.NAMES_USED] != len(records := registered()):
                self.memory[layout.NAMES_BYTE : layout.NAMES_BYTE + len(records)] = records
                self.words[layout.NAMES_USED] = len(records)

    def close(self) -> None:
        """Say that no more will come, let go of the lock, and unlink the file unless somebody collects here,
        or may come for what nobody has taken yet (see `left_rings`)."""
        if self._lock_fd == -1 and self.path is not None:
            return
        with suppress(ValueError):
            self.words[layout.CLOSED] = 1
        try:
            path = self.path
            if path is not None and not _collected(path.parent):
                if self._has_untaken():
                    self._leave(path.parent)
                else:
                    path.unlink(missing_ok=True)
        finally:  # whatever went wrong: nobody waits for its lock
            self.abandon()

    def _has_untaken(self) -> bool:
        """Records, or losses that nobody has been told of."""
        with suppress(ValueError):
            words = self.words
            told = words[layout.DROPPED_SEEN], words[layout.REMOVED_SEEN], words[layout.FACTS_SEEN]
            lost = words[layout.DROPPED], words[layout.REMOVED], words[layout.FACTS_DROPPED]
            return self.waiting > 0 or lost != told
        return False

    def _leave(self, directory: Path) -> None:
        with suppress(ValueError):
            give_back(self.memory, self.identity, self.words[layout.HEAD], self.words[layout.TAIL])
        self.bound_left(directory, opening=False)

    def bound_left(self, directory: Path, *, opening: bool) -> None:
        """Remove the oldest of too many rings without a writer, on this one's account (see `left_rings`)."""
        paths = [ring.path for ring in _open_rings.all() if ring.path is not None]
        own = {path.name for path in paths if path.parent == directory}
        remove_oldest(directory, self._charge, lambda: _collected(directory), opening=opening, own=own)

    def _charge(self, calls: int) -> None:
        with suppress(ValueError):
            before = layout.count_in(self.words[layout.REMOVED])
            self.words[layout.REMOVED] = layout.proven_count(before + calls)

    def abandon(self) -> None:
        """Let go without a word: what a forked child does with its parent's rings."""
        _open_rings.discard(self)
        # A released view makes every later put return False; the mapping goes with its last view.
        if self.native is not None:
            self.native.close()
        self.words.release()
        self._body.release()
        with suppress(BufferError):
            self.memory.close()
        if self._lock_fd != -1:
            os.close(self._lock_fd)  # not LOCK_UN: the description is shared with the parent
            self._lock_fd = -1


_open_rings: Alive[Ring] = Alive()


def end_start(at_ns: int, event_id: int) -> bool:
    """End what began in whichever ring of this process (see `Starts`). Never raises."""
    return any(ring.starts.end(at_ns, event_id) for ring in _open_rings.all())


def end_at(at_ns: int) -> bool:
    """The same of what began at that time, whatever it was."""
    return any(ring.starts.end_at(at_ns) for ring in _open_rings.all())


def _after_fork_in_child() -> None:
    for ring in _open_rings.all():
        ring.abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _name_in_every_ring() -> None:
    for ring in _open_rings.all():
        if ring.path is not None:
            ring._add_names()


on_register(_name_in_every_ring)


def create_ring(
    directory: Path,
    worker: str,
    entries: int,
    *,
    mode: Mode = Mode.DROP_NEWEST,
    proof: Proof | None = None,
    now: Now = time.monotonic_ns,
) -> Ring:
    """A new ring file in `directory`, which is made (mode 0700) if it is missing.

    Raises OSError when there is no space or no permission, ValueError when `worker` or `entries` do not fit.
    """
    identity = _identity(worker, entries, mode, proof)
    line = layout.pack_identity(identity)
    _check_name(worker)
    name = f"{worker}.{identity.pid}.{os.urandom(4).hex()}"
    draft = directory / (name + DRAFT_SUFFIX)
    path = directory / (name + RING_SUFFIX)
    lock_fd = _open_draft(draft)
    ring = None
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(lock_fd, 0, layout.ring_bytes(entries))
        memory = _map_draft(draft, layout.ring_bytes(entries))
        memory[: layout.LINE_BYTES] = line
        memory[layout.HEARTBEAT_BYTE : layout.CLOSED_BYTE] = now().to_bytes(layout.WORD_BYTES, "little")
        draft.rename(path)
        ring = Ring(memory, identity, path, lock_fd)
        ring.bound_left(directory, opening=True)
    except BaseException:
        for made in (draft, path):
            made.unlink(missing_ok=True)
        if ring is None:
            os.close(lock_fd)
        else:
            ring.close()
        raise
    return ring


def memory_ring(
    worker: str, entries: int, *, mode: Mode = Mode.DROP_NEWEST, proof: Proof | None = None
) -> Ring:
    """A ring without a file, for a process that aggregates what it records itself."""
    identity = _identity(worker, entries, mode, proof)
    line = layout.pack_identity(identity)
    memory = mmap.mmap(-1, layout.ring_bytes(entries))
    memory[: layout.LINE_BYTES] = line
    return Ring(memory, identity, None, -1)


def check_ring(directory: str | Path, worker: str, entries: int, mode: int) -> Path:
    """The directory, if a ring with these arguments could be there.

    Raises TypeError or ValueError naming the argument, its value and its limit.
    """
    if not isinstance(directory, str | Path) or not str(directory) or "\0" in str(directory):
        raise TypeError(f"directory = {directory!r}: a path, as text or as Path")
    if not isinstance(worker, str):
        raise TypeError(f"worker = {worker!r}: text, 1 to {layout.NAME_BYTES} bytes of UTF-8")
    if not isinstance(entries, int) or isinstance(entries, bool):
        raise TypeError(f"entries = {entries!r}: a power of two, as an integer")
    if mode not in tuple(Mode):
        raise ValueError(f"mode = {mode!r}: one of {', '.join(str(one) for one in Mode)}")
    layout.pack_identity(_identity(worker, entries, Mode(mode), None))
    _check_name(worker)
    return Path(directory)


def _check_name(worker: str) -> None:
    if "/" in worker or worker.startswith(".") or not worker.isprintable():
        raise ValueError(f"worker name {worker!r}: becomes a file name: printable, no '/' and no leading '.'")


def make_directory(directory: Path) -> None:
    """Make the telemetry directory, private to this user.

    Raises PermissionError when it exists and is somebody else's: /dev/shm is writable by everyone.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise PermissionError(f"{directory} is a symbolic link: name the directory itself")
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{directory} is not a directory of user {os.geteuid()}")


def process_start_ticks() -> int:
    """When this process began, in clock ticks since boot (proc(5), stat field 22); 0 where unknown."""
    with suppress(OSError, ValueError, IndexError):
        # The name in field 2 may hold spaces and brackets; what follows its last bracket may not.
        return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return 0


def _identity(worker: str, entries: int, mode: Mode, proof: Proof | None) -> Identity:
    proof = layout.native_proof() if proof is None else proof
    return Identity(entries, mode, proof, os.getpid(), process_start_ticks(), time.time_ns(), worker)


def _open_draft(draft: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    for _ in range(3):  # a leaving collector removes an empty directory behind our back
        make_directory(draft.parent)
        with suppress(FileNotFoundError):
            return os.open(draft, flags, 0o600)
    raise FileNotFoundError(f"{draft.parent} keeps disappearing")


def _map_draft(draft: Path, size: int) -> mmap.mmap:
    fd = os.open(draft, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        # Pages are touched now: later each first touch would cost 3.5 µs inside somebody's measurement.
        return mmap.mmap(fd, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    finally:
        os.close(fd)


def _collected(directory: Path) -> bool:
    """True while a collector holds its lock on `directory`."""
    try:
        fd = os.open(directory / COLLECTOR_LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
