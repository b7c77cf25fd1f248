"""What a process of the pipeline owes to whoever started it: it says when it is ready, leaves when asked,
and never outlives its supervisor.

The supervisor passes two variables, and both are taken out of the environment when read, so that a
grandchild never answers in its parent's name. Without them (a container's main process, a shell) nothing
is announced and nobody's death matters.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Iterable
from types import FrameType

READY_FD = "RINGLINE_READY_FD"
"""A pipe's write end: `ready\\n` once the process serves, or the reason why it never will."""
PARENT_PID = "RINGLINE_PARENT_PID"
"""The supervisor's pid: with another parent, it died before `die_with_parent` took effect."""
READY_LINE = b"ready\n"

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class StopFlag:
    """Asked to leave? Set by a signal or by `set()`; never unset.

    To look at between steps (`is_set`), to sleep on (`wait`), or as a file descriptor that turns readable
    (`fd`) for pollers and event loops. Nobody should read from `fd`: that would hide it from the others.
    """

    __slots__ = ("_leave_after_s", "_parent_pid", "_read", "_set", "_write", "signal")

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._set = False
        self._leave_after_s = 0.0
        self._parent_pid = os.getppid()
        self.signal = 0
        """The number of the signal that set it first; 0: none did."""

    @property
    def fd(self) -> int:
        return self._read

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        """Idempotent, and safe inside a signal handler and from any thread."""
        if not self._set:
            self._set = True
            os.write(self._write, b"\0")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Sleeps until it is set or `timeout_s` is over; True when it is set."""
        if not self._set:
            poller = select.poll()
            poller.register(self._read, select.POLLIN)
            poller.poll(None if timeout_s is None else max(0.0, timeout_s * 1000))
        return self._set

    def listen(
        self,
        signals: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
        *,
        leave_after_s: float = 0.0,
    ) -> None:
        """Lets `signals` set the flag (main thread only).

        With `leave_after_s` the first of them also starts an alarm that the kernel alone carries out
        (SIGALRM's default action), so that a process that cannot drain leaves all the same.
        """
        self._leave_after_s = leave_after_s
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        for number in signals:
            signal.signal(number, self._on_signal)

    def close(self) -> None:
        """Gives the descriptors back; the flag keeps its value. For tests: a process has one for life."""
        for fd in (self._read, self._write):
            os.close(fd)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._set:
            return
        self.signal = number
        if self._leave_after_s:
            signal.setitimer(signal.ITIMER_REAL, self._leave_after_s)
        if os.getppid() != self._parent_pid:
            _silence()
        self.set()


def die_with_parent() -> None:
    """Has the kernel send SIGTERM when the supervisor dies, even by SIGKILL. Call after `StopFlag.listen`.

    Does nothing for a process that no supervisor started.
    """
    parent = os.environ.pop(PARENT_PID, "")
    if parent:
        end_with(int(parent), signal.SIGTERM)


def end_with(parent: int, number: signal.Signals) -> None:
    """Has the kernel send this process `number` when its parent, the process `parent`, dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        failed = ctypes.get_errno()
        raise OSError(failed, f"prctl(PR_SET_PDEATHSIG): {os.strerror(failed)}")
    if os.getppid() != parent:  # it died before the line above: nobody will send the signal
        os.kill(os.getpid(), number)


def announce_ready() -> None:
    """Tells the supervisor, if there is one, that this process serves."""
    _announce(READY_LINE)


def announce_failure(text: str) -> bool:
    """Tells the supervisor why this process will never serve; False when there is none to tell, or when
    it was told before that the process is ready."""
    return _announce(text.encode(errors="replace"))


def _announce(data: bytes) -> bool:
    text = os.environ.pop(READY_FD, "")
    if not text:
        return False
    fd = int(text)
    try:
        with open(fd, "wb", buffering=0) as pipe:
            pipe.write(data)
    except BrokenPipeError:  # the supervisor is gone; its death has its own signal
        return False
    return True


def _silence() -> None:
    """An orphan's output is a broken pipe: writing there must not break its drain."""
    null = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(null, fd)
    os.close(null)
