"""The gateway's journal (see `journal`; `layout` draws its bytes, `recovery` says what is refused)."""

from pipeline.storage.journal.errors import (
    DiskFullError,
    DuplicateError,
    JournalBrokenError,
    JournalFullError,
)
from pipeline.storage.journal.index import Known
from pipeline.storage.journal.journal import Accepted, Journal

__all__ = [
    "Accepted",
    "DiskFullError",
    "DuplicateError",
    "Journal",
    "JournalBrokenError",
    "JournalFullError",
    "Known",
]
