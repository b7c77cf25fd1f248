"""The journal as the intake uses it: control events also say what keys born later begin under."""

from __future__ import annotations

from pipeline.messages import Action, Control, decode_event, encode
from pipeline.storage.journal import Accepted, Journal

TRADING = "trading"
"""The aspect of the control state that halt, flatten and resume set."""


class Ledger:
    """`stages.gateway.journal.Journal` on the journal on disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.lookup = journal.lookup
        self.sync = journal.sync

    def accept(
        self, source: str, webhook_id: str, fingerprint: bytes, key: str | None, payload: bytes
    ) -> Accepted:
        births = _births(payload) if key is None else None
        return self._journal.accept(source, webhook_id, fingerprint, key, payload, births)

    @property
    def depth(self) -> int:
        return self._journal.depth

    @property
    def bytes_used(self) -> int:
        return self._journal.bytes_used

    @property
    def oldest_accepted_us(self) -> int | None:
        return self._journal.oldest_accepted_us


def _births(payload: bytes) -> dict[str, bytes]:
    """A key that is first seen while trading is halted begins halted; after a resume it begins free."""
    event = decode_event(payload)
    assert isinstance(event, Control)
    if event.action == Action.RESUME:
        return {TRADING: b""}
    return {TRADING: encode(Control(Action.HALT, event.reason))}
