"""Which make of calls is in use: the extension's where there is one, else Python's."""

from __future__ import annotations

from contextvars import ContextVar
from types import ModuleType

from pipeline.telemetry.calls import Calls, Opener, ThreadPart
from pipeline.telemetry.native import extension
from pipeline.telemetry.python_calls import PythonCalls


class NativeCalls(Calls):
    """The extension finds the calling thread's writer by itself."""

    def __init__(self, opener: Opener, fast: ModuleType) -> None:
        super().__init__(opener)
        self._fast = fast
        self.record_start, self.record_end, self.record = fast.record_start, fast.record_end, fast.record
        self.block = fast.measure
        fast.configure(self.part)

    def set_recording(self, on: bool) -> None:
        self._fast.set_recording(on)

    def correlate_by(self, variable: ContextVar[int]) -> None:
        self._fast.correlate_by(variable)

    def open(self) -> ThreadPart:
        part = super().open()
        if part.ring is not None and part.ring.native is not None:
            part.ring.native.starts = part.starts is not None
            part.hold = self._fast.adopt(part.ring.native)
        return part

    def forget_threads(self, *, starts: bool = False) -> None:  # noqa: ARG002 - each part's ring tells
        self._fast.forget_threads()  # first: nobody may find a writer that its thread has let go of
        super().forget_threads()


def make_calls(opener: Opener) -> Calls:
    """The extension's where it is in use, else Python's."""
    return PythonCalls(opener) if extension is None else NativeCalls(opener, extension)
