"""Waits for a child process, and ends it when this one is asked to end."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType
from typing import NamedTuple

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What ends a command; SIGHUP comes when its terminal closes."""


Mask = set[int | signal.Signals]
"""What is blocked, as `signal.pthread_sigmask` has it."""


class Ended(NamedTuple):
    """`status` is as `waitpid` has it; `by` the signal for which the child was ended, if it was."""

    status: int
    by: signal.Signals | None


class _Killer:
    """Kills the child at a signal; at Ctrl-C, which is the child's to follow, only the second time."""

    def __init__(self, child: int) -> None:
        self._child = os.pidfd_open(child)  # a number may be another's by the time the signal comes
        self._presses = 0
        self.by: signal.Signals | None = None

    def end(self, number: int, _frame: FrameType | None) -> None:
        self.by = signal.Signals(number)
        self._kill()

    def press(self, _number: int, _frame: FrameType | None) -> None:
        self._presses += 1
        if self._presses > 1:
            self.by = signal.SIGINT
            self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._child, signal.SIGKILL)

    def close(self) -> None:
        os.close(self._child)


def wait_for(child: int, mask: Mask) -> Ended:
    """Its end. SIGINT and `ENDING` must be blocked; `mask` is what is blocked meanwhile."""
    killer = _Killer(child)
    before = {signal.SIGINT: signal.signal(signal.SIGINT, killer.press)}
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            before[number] = signal.signal(number, killer.end)
    blocked = signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        _, status = os.waitpid(child, 0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)
        killer.close()
    return Ended(status, killer.by)
