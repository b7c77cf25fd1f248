"""Shows a run while it works: redrawn in place on a terminal, a line every other second elsewhere."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from rich.console import Console
from rich.live import Live

from pipeline.clock import NS_PER_S, Clock
from pipeline.replay.view import View, line, screen

LINE_EVERY_S = 2.0
KEPT_NOTES = 4


class Watch(Protocol):
    """Somebody who is shown a run."""

    def update(self, view: View) -> None:
        """Shows the latest picture; may leave some out."""

    def say(self, text: str) -> None:
        """A line from the supervisor or a worker; may come from any thread."""

    def close(self) -> None:
        """Ends the view; what was shown last stays. Idempotent."""


class TerminalWatch:
    """Redraws in place. It draws only when told to, so it costs what the caller lets it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        self._notes: deque[str] = deque(maxlen=KEPT_NOTES)

    def update(self, view: View) -> None:
        self._live.update(screen(view._replace(notes=tuple(self._notes))), refresh=True)

    def say(self, text: str) -> None:
        self._notes.append(text)

    def close(self) -> None:
        self._live.stop()
        for note in self._notes:
            self._live.console.print(note, style="yellow", markup=False, highlight=False)
        self._notes.clear()


class LineWatch:
    """Prints a line about every other second, and when the phase changes."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._next_ns = 0
        self._phase = ""

    def update(self, view: View) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._next_ns and view.phase == self._phase:
            return
        self._next_ns = now_ns + int(LINE_EVERY_S * NS_PER_S)
        self._phase = view.phase
        self.say(line(view))

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Lines stay as they are."""


def open_watch(console: Console, clock: Clock, *, plain: bool = False) -> Watch:
    """The view that fits where `console` writes."""
    if console.is_terminal and not console.is_dumb_terminal and not plain:
        return TerminalWatch(console)
    return LineWatch(console, clock)
