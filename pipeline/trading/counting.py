"""Counts the instructions of a user's call, and ends one that takes too many.

In instructions and not in time, so that it is the same on every machine with the same version of Python. The
error is raised at every further instruction (Python 3.12 and later), or at every further turn of a loop
(3.11), until the call is left: a loop that ignores what goes wrong in it does not ignore this for ever. A
call into C counts as one, however long it takes: that is for `plugin.Watch`.
"""

from __future__ import annotations

import ctypes
import dis
import sys
from collections.abc import Callable
from itertools import repeat
from threading import get_ident
from types import CodeType, FrameType
from typing import Any

from pipeline import limits

_PATIENCE = 10_000
"""Instructions. Before, the call may be the garbage collector's: it swallows what is raised, and `watch`."""
_TURNS = frozenset(
    number for name, number in dis.opmap.items() if "JUMP_BACKWARD" in name and "NO_INTERRUPT" not in name
)


class OverlongError(BaseException):
    """A call that takes more than `limits.MAX_STRATEGY_INSTRUCTIONS`. No `Exception`: a loop that ignores
    what goes wrong in it would ignore this too."""


def traced(call: Callable[..., Any], *arguments: Any) -> Any:
    """By `sys.settrace`. Raises OverlongError.

    A trace function that raises is taken away by the interpreter, and whoever catches the error goes on
    unwatched. So the error is sent to this thread as if from outside, before each turn of a loop: that is
    where the interpreter looks for what has arrived. In `watch` nothing may look: no call, no loop that goes
    round. Only where that has not helped a call is refused by raising: C may be what calls again and again.
    """
    left = limits.MAX_STRATEGY_INSTRUCTIONS
    thread = ctypes.c_ulong(get_ident())
    sent = map(
        ctypes.pythonapi.PyThreadState_SetAsyncExc, repeat(thread), repeat(ctypes.py_object(OverlongError))
    )

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        left -= 1
        if left < 0:
            if event == "call" and left < -_PATIENCE:
                raise OverlongError
            if event == "opcode" and frame.f_code.co_code[frame.f_lasti] in _TURNS:
                for _ in sent:
                    break
        return watch

    outer = sys.gettrace()
    sys.settrace(watch)
    try:
        return call(*arguments)
    finally:
        sys.settrace(outer)
        if left < 0:
            _absorb()
            raise OverlongError


def _absorb() -> None:
    """Takes an error that was sent and has not yet arrived: it would hit whatever comes next. (Sending None
    would not do: Python 3.11 then believes for ever that one is under way.)"""
    try:
        for _ in range(3):  # arrivals are looked for at each turn
            pass
    except OverlongError:
        pass


class Monitored:
    """By `sys.monitoring` (PEP 669), whose callbacks stay when they raise."""

    def __init__(self) -> None:
        """Raises ValueError where other tools have taken every place."""
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined]  # 3.12 and later
        free = [tool for tool in range(6) if monitoring.get_tool(tool) is None]
        self._tool = next((tool for tool in (4, 3, *free) if tool in free), None)
        if self._tool is None:
            raise ValueError("every place of sys.monitoring is taken")
        monitoring.use_tool_id(self._tool, "ringline")
        self._left = self._thread = 0
        self._events = monitoring.events.INSTRUCTION
        self._set = monitoring.set_events
        own = Monitored.__call__.__code__

        def count(code: CodeType, _: int) -> None:
            if code is own or get_ident() != self._thread:  # every thread's instructions come here
                return
            self._left -= 1
            if self._left < 0:
                raise OverlongError

        monitoring.register_callback(self._tool, self._events, count)

    def __call__(self, call: Callable[..., Any], *arguments: Any) -> Any:
        self._left, self._thread = limits.MAX_STRATEGY_INSTRUCTIONS, get_ident()
        self._set(self._tool, self._events)
        try:
            answer = call(*arguments)
        finally:
            self._set(self._tool, 0)
        if self._left < 0:
            raise OverlongError  # it was told, and went on
        return answer


def _chosen() -> Callable[..., Any]:
    if sys.version_info < (3, 12):
        return traced
    try:
        return Monitored()
    except ValueError:
        return traced


counted: Callable[..., Any] = _chosen()
"""`counted(call, *arguments)` is what the call answers. Raises OverlongError, and what the call raises."""
