"""`STATE?`: a worker that meets a key it does not hold asks any audit, and repeats until it is answered."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.transport import wire
from pipeline.transport.outbox import Outbox, ToAsk
from pipeline.transport.settings import Timing


class Questions:
    """Open questions by key. Each repetition goes to the next audit in turn, under a new number: only the
    answer to the last one counts."""

    def __init__(self, timing: Timing, outbox: Outbox) -> None:
        self._timing = timing
        self._outbox = outbox
        self._audits: tuple[int, ...] = ()
        self._turn = 0
        self._number = 0
        self._open: dict[str, tuple[int, int]] = {}
        """key → (number, when asked, ns)"""

    def set_audits(self, ordinals: Iterable[int]) -> None:
        self._audits = tuple(sorted(ordinals))

    def ask(self, key: str, now_ns: int) -> None:
        self._number += 1
        self._open[key] = (self._number, now_ns)
        if self._audits:
            self._turn += 1
            ordinal = self._audits[self._turn % len(self._audits)]
            self._outbox.send(ToAsk(ordinal), wire.Ask(self._number, key))

    def ask_later(self, key: str, now_ns: int) -> None:
        """Again after as long as an answer is waited for: the last one was of no use."""
        self._number += 1  # so that it is not taken a second time
        self._open[key] = (self._number, now_ns)

    def answered(self, state: wire.State) -> bool:
        """Whether this answers an open question; closes it."""
        key = state.tail.key
        entry = self._open.get(key)
        if entry is None or entry[0] != state.question:
            return False
        del self._open[key]
        return True

    def drop(self, key: str) -> None:
        self._open.pop(key, None)

    def tick(self, now_ns: int) -> None:
        for key, (_, asked_ns) in list(self._open.items()):
            if now_ns - asked_ns >= self._timing.ask_again_ns:
                self.ask(key, now_ns)

    def __len__(self) -> int:
        return len(self._open)
