"""The collector's newest snapshot, asked for in a thread of its own: who decides never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from pipeline import limits
from pipeline.clock import NS_PER_MS, Clock
from pipeline.errors import MissingError
from pipeline.snapshot import SCHEMA_VERSION, Snapshot, decode_snapshot

Ask = Callable[[], bytes]
"""The bytes of a snapshot. Raises MissingError."""


class Listener:
    """Asks a few times a second until it is closed. Ages are ours: since `taken_us` was seen to change."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._found: tuple[Snapshot | None, int, str] = (None, clock.monotonic_ns(), "has not answered yet")
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autoscale-listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._leave.set()
        if self._thread.ident is not None:
            self._thread.join(limits.AUTOSCALE_ASK_S + 1)

    def newest(self) -> tuple[Snapshot | None, int, str]:
        """The snapshot, its age in ms, and why there is none newer."""
        snapshot, changed_ns, fault = self._found
        return snapshot, (self._clock.monotonic_ns() - changed_ns) // NS_PER_MS, fault

    def look(self) -> None:
        """Asks once. Waits for the collector."""
        before, changed_ns, _ = self._found
        try:
            snapshot = decode_snapshot(self._ask())
        except (MissingError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self._found = (before, changed_ns, str(error))
            return
        if snapshot.schema != SCHEMA_VERSION:
            self._found = (before, changed_ns, f"speaks snapshots of schema {snapshot.schema}")
        elif before is None or before.taken_us != snapshot.taken_us:
            self._found = (snapshot, self._clock.monotonic_ns(), "")

    def _run(self) -> None:
        self.look()
        while not self._leave.wait(limits.AUTOSCALE_EVERY_MS / 1000):
            self.look()
