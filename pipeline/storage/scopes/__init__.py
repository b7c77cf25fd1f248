"""Limits that hold over many keys: how often and for how much everybody together may enter a scope."""

from pipeline.storage.scopes.memory import MemoryScopeStore
from pipeline.storage.scopes.store import (
    Answer,
    Ask,
    Claim,
    ForgottenAnswerError,
    Held,
    Refusal,
    Rule,
    ScopeStore,
    ScopeStoreError,
)

__all__ = [
    "Answer",
    "Ask",
    "Claim",
    "ForgottenAnswerError",
    "Held",
    "MemoryScopeStore",
    "Refusal",
    "Rule",
    "ScopeStore",
    "ScopeStoreError",
]
