"""Whoever looks at the live page of a run: the first candle waits for them, and at the end the page stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.process import StopFlag
from pipeline.snapshot import Snapshot

LOOK_EVERY_S = 0.2


class Watched(Protocol):
    """What an audience needs of a running pipeline."""

    def poll(self) -> None:
        """Looks after the workers. Raises RinglineError when one is lost for good."""

    def snapshot(self) -> Snapshot | None:
        """What the collector knows."""


class Audience:
    """`url` is where the page is; `say` is shown a line."""

    def __init__(self, running: Watched, stop: StopFlag, url: str, say: Callable[[str], None]) -> None:
        self._running = running
        self._stop = stop
        self._url = url
        self._say = say

    def wait(self) -> bool:
        """Until somebody looks; False when asked to stop before that."""
        self._say(f"Page: {self._url} - the first candle waits for somebody to open it (Ctrl-C leaves).")
        while not self._looks():
            self._running.poll()
            if self._stop.wait(LOOK_EVERY_S):
                return False
        return True

    def stay(self) -> None:
        """Until asked to stop."""
        self._say(f"The last candle is audited. {self._url} stays until Ctrl-C; the report comes then.")
        while not self._stop.wait(LOOK_EVERY_S):
            self._running.poll()

    def _looks(self) -> bool:
        """The feed's depth is how many look."""
        snapshot = self._running.snapshot()
        return snapshot is not None and any(one.depth > 0 for one in snapshot.replicas if one.stage == "feed")
