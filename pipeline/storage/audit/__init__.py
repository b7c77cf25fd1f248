"""The audit: who may be appended (`store`), the hash chain, its engines, and what reads it."""

from pipeline.storage.audit.chain import Link
from pipeline.storage.audit.memory import MemoryAuditStore
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.rows import AuditRow, StoredRow
from pipeline.storage.audit.sqlite import SqliteAuditStore
from pipeline.storage.audit.store import AuditStore, Judged
from pipeline.storage.audit.verify import VerifyReport, verify_rows

__all__ = [
    "AuditReader",
    "AuditRow",
    "AuditStore",
    "Judged",
    "Link",
    "MemoryAuditStore",
    "SqliteAuditStore",
    "StoredRow",
    "VerifyReport",
    "verify_rows",
]
