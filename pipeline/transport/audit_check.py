"""Finds out that the audit has less than the journal knows to be settled: it was restored from a backup.

Every audit worker is asked which incarnation it is; when one began anew, and when this gateway did, the audit
is asked for the last row of every key. What the journal has as settled at the time of the question was
audited before it, so an answer below that proves that rows are gone. Pure: frames and time in, actions out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.transport import wire
from pipeline.transport.outbox import Act, Outbox, ToAsk

LOOK_NS = limits.RECONCILE_LOOK_S * NS_PER_S
AGAIN_NS = limits.RECONCILE_ASK_AGAIN_S * NS_PER_S
MAX_AGAIN_NS = 8 * AGAIN_NS
"""An audit that is away is asked again soon; an older one, which cannot answer, not too often."""


class AuditCheck:
    """`keys()` names those that have anything settled, `mark(key)` is the last settled key_seq of one;
    `on_behind(key, last)` is told of each key of which the audit has `last` rows and no more."""

    def __init__(
        self,
        keys: Callable[[], Iterable[str]],
        mark: Callable[[str], int],
        on_behind: Callable[[str, int], None],
    ) -> None:
        self._keys_known = keys
        self._mark = mark
        self._on_behind = on_behind
        self._outbox = Outbox()
        self._audits: tuple[int, ...] = ()
        self._turn = 0
        self._number = 0
        self._boots: dict[int, int] = {}
        self._wanted: dict[str, None] = {}
        """Keys to ask about, in order."""
        self._open: tuple[int, int, dict[str, int]] | None = None
        """(question, when asked, the marks then by key); one at a time."""
        self._look_ns = 0
        self._again_ns = AGAIN_NS
        self._now_ns = 0
        self._all = True
        self.answered = 0
        """Keys asked about and answered."""

    @property
    def busy(self) -> bool:
        """Keys are still to be asked about."""
        return self._all or bool(self._wanted) or (self._open is not None and bool(self._open[2]))

    def set_audits(self, ordinals: Iterable[int]) -> None:
        self._audits = tuple(sorted(ordinals))

    def suspect(self, key: str) -> None:
        """Nothing of it settles: ask soon."""
        if self._mark(key):
            self._wanted[key] = None

    def check_all(self) -> None:
        """Ask about every key."""
        self._all = True

    def receive(self, ordinal: int, frame: wire.Frame, now_ns: int) -> None:
        self._now_ns = now_ns
        for message in frame.messages:
            if isinstance(message, wire.Lasts):
                self._answered(ordinal, message)
        self.tick(now_ns)

    def tick(self, now_ns: int) -> None:
        """Call it a few times a second."""
        self._now_ns = now_ns
        if not self._audits:
            return
        if self._open is not None:
            if now_ns - self._open[1] < self._again_ns:
                return
            self._again_ns = min(2 * self._again_ns, MAX_AGAIN_NS)
            self._wanted = dict.fromkeys(self._open[2]) | self._wanted
            self._open = None
        if self._all:
            self._all = False
            self._wanted |= dict.fromkeys(self._keys_known())
        if self._wanted or now_ns >= self._look_ns:
            self._ask(now_ns)

    def take(self) -> list[Act]:
        return self._outbox.take()

    def _ask(self, now_ns: int) -> None:
        keys = list(self._wanted)[: limits.RECONCILE_CHECK_KEYS]
        for key in keys:
            del self._wanted[key]
        self._number += 1
        self._turn += 1
        self._look_ns = now_ns + LOOK_NS
        self._open = (self._number, now_ns, {key: self._mark(key) for key in keys})
        ordinal = self._audits[self._turn % len(self._audits)]
        self._outbox.send(ToAsk(ordinal), wire.AskLasts(self._number, tuple(keys)))

    def _answered(self, ordinal: int, state: wire.Lasts) -> None:
        if self._boots.setdefault(ordinal, state.boot) != state.boot:
            self._boots[ordinal] = state.boot
            self._all = True
        if self._open is None or self._open[0] != state.question:
            return
        marks, self._open = self._open[2], None
        if len(state.lasts) != len(marks):
            return
        self._again_ns = AGAIN_NS
        self.answered += len(marks)
        for (key, mark), last in zip(marks.items(), state.lasts, strict=True):
            if last < mark:
                self._on_behind(key, last)
