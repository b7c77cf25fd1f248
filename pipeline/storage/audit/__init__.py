"""The audit: who may be appended (`store`), the hash chain, its engines, and what reads it."""

from pipeline.storage.audit.sqlite import SqliteAuditStore
from pipeline.storage.audit.store import AuditStore, Judged

__all__ = ["AuditStore", "Judged", "SqliteAuditStore"]
