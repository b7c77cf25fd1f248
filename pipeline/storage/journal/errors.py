"""How the journal says no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import MissingError, RinglineError

if TYPE_CHECKING:
    from pipeline.storage.journal.index import Known


class JournalFullError(RinglineError):
    """The journal has no room for this event now; the gateway answers 503 with Retry-After."""

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(f"journal: {detail}; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class DuplicateError(RinglineError):
    """The event is in the journal already; `known` says as what."""

    def __init__(self, source: str, webhook_id: str, known: Known) -> None:
        super().__init__(f"webhook-id {webhook_id!r} of {source}: accepted before as {known.jno}")
        self.known = known


class DiskFullError(MissingError):
    """No space for the next segment. Nothing was lost: `sync` may be called again once there is some."""


class JournalBrokenError(MissingError):
    """The disk failed a write or a sync: what it holds is unknown until the journal is opened anew."""
