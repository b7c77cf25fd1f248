"""Times as the API writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.clock import US_PER_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text_of(us: int) -> str:
    """Time: whole seconds, UTC."""
    return datetime.fromtimestamp(us // US_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_text_of(us: int) -> str:
    """MicroTime: microseconds, UTC."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def us_of(text: str | None) -> int | None:
    """Microseconds since the epoch; None for what is no time."""
    if not text:
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError):
        return None
