"""The steps of the golden path, webhook to audit, in order, with what is allowed for each."""

from __future__ import annotations

REFERENCE_MS = 45.0
"""Webhook to audit, the sum of the steps below."""

STEPS: tuple[tuple[str, str, float | None], ...] = (
    ("gateway", "GATEWAY_RECEIVE", 2.0),
    ("gateway", "SIGNATURE_CHECK", 3.0),
    ("gateway", "IDEMPOTENCY_CHECK", 1.0),
    ("gateway", "JOURNAL_WRITE", None),
    ("gateway", "GATEWAY_PUBLISH", 4.0),
    ("agent", "AGENT_CONSUME", 5.0),
    ("agent", "AGENT_DECISION", 8.0),
    ("agent", "AGENT_PUBLISH", 4.0),
    ("exec", "EXEC_CONSUME", 5.0),
    ("exec", "FILL_GENERATION", 2.0),
    ("exec", "FILL_PUBLISH", 4.0),
    ("audit", "AUDIT_WRITE", 7.0),
    ("all", "END_TO_END", REFERENCE_MS),
)
"""(stage, event, reference ms). The reference has no journal; END_TO_END is accept to settled."""

assert sum(ms or 0.0 for stage, _, ms in STEPS if stage != "all") == REFERENCE_MS
