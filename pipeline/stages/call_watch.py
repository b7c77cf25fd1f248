"""Ends this process when a user's call does not come back, and lets the next one know which.

In `folder`, by the process's name:

    NAME.call    the tag of what is being called and its seconds, mapped into memory; zeros when nothing is
    NAME.hung    empty, or the traceback of a call that did not come back; then the process is ended
    NAME.hangs   a tag a line, for each time that one hung

The alarm and the traceback are the kernel's and C's work: they come also when the call holds the interpreter
and nothing of Python runs any more.
"""

from __future__ import annotations

import faulthandler
import logging
import mmap
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.trading.plugin import HungError

log = logging.getLogger(__name__)

_SIZE = limits.CALL_PAGE_BYTES
_TAG_SIZE = _SIZE - 32


class Hang(NamedTuple):
    """What hung, and where."""

    tag: str
    traceback: str
    limit_s: float


class Alarm(Protocol):
    """Ends the process, with a traceback in `hung`, unless it is stopped in time."""

    def start(self, limit_s: float) -> None: ...

    def stop(self) -> None: ...


class KernelAlarm:
    """SIGALRM, whose handler is C's: 1 µs a call. One alarm that was set before goes on afterwards."""

    def __init__(self, hung: BinaryIO) -> None:
        self._left_s = self._at_s = 0.0
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=hung, all_threads=False, chain=True)

    def start(self, limit_s: float) -> None:
        self._left_s, _ = signal.setitimer(signal.ITIMER_REAL, limit_s)
        if self._left_s:  # the process was asked to leave
            self._at_s = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, min(self._left_s, limit_s))

    def stop(self) -> None:
        if self._left_s:
            left_s = self._left_s - (time.monotonic() - self._at_s)
            signal.setitimer(signal.ITIMER_REAL, max(left_s, 0.001))
        else:
            signal.setitimer(signal.ITIMER_REAL, 0)


class ThreadAlarm:
    """A thread of C's, some 30 µs a call: for the first process of a container, which the kernel's alarm does
    not end."""

    def __init__(self, hung: BinaryIO) -> None:
        self._hung = hung

    def start(self, limit_s: float) -> None:
        faulthandler.dump_traceback_later(limit_s, exit=True, file=self._hung)

    def stop(self) -> None:
        faulthandler.cancel_dump_traceback_later()


def alarm_of_this_process(hung: BinaryIO) -> Alarm:
    return ThreadAlarm(hung) if os.getpid() == 1 else KernelAlarm(hung)


class CallWatch:
    """`trading.plugin.Watch` of a process, called by one thread of it; `limit_s` is what any call may take.
    Raises MissingError when `folder` cannot be written."""

    def __init__(
        self,
        folder: Path,
        name: str,
        limit_s: float,
        make_alarm: Callable[[BinaryIO], Alarm] = alarm_of_this_process,
    ) -> None:
        hangs = folder / f"{name}.hangs"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.died_in = take_hang(folder, name)
            inside = called(folder, name)
            if self.died_in is not None:
                with hangs.open("a", encoding="utf-8") as file:
                    file.write(f"{self.died_in.tag}\n")
            counted = hangs.read_text(encoding="utf-8").splitlines() if hangs.exists() else []
            self._page = _mapped(folder / f"{name}.call")
            self._hung = (folder / f"{name}.hung").open("wb", buffering=0)
        except OSError as error:
            raise MissingError(f"{folder}: {error.strerror}") from None
        self.refused = frozenset(tag for tag in counted if counted.count(tag) >= limits.MAX_HANGS)
        self._alarm = make_alarm(self._hung)
        self._limit_s = limit_s
        if self.died_in is not None:
            tag, traceback, took_s = self.died_in
            log.error("%s: %s did not come back within %g s:\n%s", name, tag, took_s, traceback.strip())
        elif inside:
            log.warning("%s ended inside %s the last time", name, inside)
        for tag in sorted(self.refused):
            log.error(
                "%s hung %d times and is refused until its code changes (or %s goes)",
                tag, counted.count(tag), hangs,
            )  # fmt: skip

    def enter(self, tag: str, limit_s: float | None = None) -> None:
        """Raises HungError for one that has hung as often as it may."""
        if tag in self.refused:
            raise HungError(tag)
        if limit_s is None:
            limit_s = self._limit_s
        self._page[:_SIZE] = (tag.encode()[:_TAG_SIZE] + b"\0%g" % limit_s).ljust(_SIZE, b"\0")
        self._alarm.start(limit_s)

    def leave(self) -> None:
        self._alarm.stop()
        self._page[0] = 0

    def close(self) -> None:
        """For tests: a process has one for life."""
        self._page.close()
        self._hung.close()


def take_hang(folder: Path, name: str) -> Hang | None:
    """What the last process of this name was ended in; None when it was not. Forgotten when it was read."""
    try:
        traceback = (folder / f"{name}.hung").read_bytes()[:4096].decode("utf-8", "replace")
        tag, _, rest = (folder / f"{name}.call").read_bytes().partition(b"\0")
    except FileNotFoundError:
        return None
    if not traceback or not tag:  # an alarm between two calls was to make it leave
        return None
    (folder / f"{name}.hung").write_bytes(b"")
    return Hang(tag.decode("utf-8", "replace"), traceback, float(rest.partition(b"\0")[0] or 0))


def called(folder: Path, name: str) -> str:
    """The tag of what the process of this name is calling, or was when it ended; "" for nothing."""
    try:
        return (folder / f"{name}.call").read_bytes().partition(b"\0")[0].decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _mapped(path: Path) -> mmap.mmap:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, _SIZE)
        page = mmap.mmap(fd, _SIZE)
    finally:
        os.close(fd)
    page[:_SIZE] = bytes(_SIZE)
    return page
