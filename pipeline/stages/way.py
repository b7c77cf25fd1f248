"""An event's way through the pipeline as people read it: what was checked at the gateway, and when each stage
had done its part. Both are of the copy that became the row; what was not recorded says so."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from pipeline.checks import GATES, decode_checks
from pipeline.clock import US_PER_MS, US_PER_S
from pipeline.delivery import Delivery

_LAST_US = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * US_PER_S
"""Calendars end here: what came over a link with a later time is none of ours."""


class ChecksStory(Struct, frozen=True, kw_only=True):
    """What an event passed before it was accepted. `secret` is the name of the one that matched; `named_by`
    says what its webhook-id is from (`derived`: from nothing the sender named); `age_ms` how old the signed
    time was, null where the profile signs none; `index` its place in a batch, null for one alone; `passed`
    the gates beside the signature."""

    profile: str
    secret: str
    named_by: str
    body_bytes: int
    index: int | None
    age_ms: int | None
    passed: tuple[str, ...]


class StepStory(Struct, frozen=True, kw_only=True):
    """`after_ms` is since acceptance, by the wall clocks of the machines that took part. Empty and null: not
    recorded."""

    step: str
    at: str
    after_ms: float | None


def checks_of(delivery: Delivery) -> ChecksStory | None:
    """None: not recorded."""
    checks = decode_checks(delivery.checks)
    if checks is None:
        return None
    return ChecksStory(
        profile=checks.profile,
        secret=checks.secret,
        named_by=checks.named_by,
        body_bytes=checks.body_bytes,
        index=checks.index if checks.index >= 0 else None,
        age_ms=checks.age_ms,
        passed=tuple(name for gate, name in GATES.items() if checks.gates & gate),
    )


def way_of(delivery: Delivery) -> tuple[StepStory, ...]:
    """Every step in order, from acceptance to the audit."""
    accepted_us = delivery.accepted_us
    return (
        _step("accepted", accepted_us, accepted_us),
        _step("synced", delivery.synced_us, accepted_us),
        _step("dispatched", delivery.dispatched_us, accepted_us),
        _step("decided", delivery.decided_us, accepted_us),
        _step("executed", delivery.executed_us, accepted_us),
        _step("audited", delivery.audited_us, accepted_us),
    )


def _step(name: str, at_us: int, accepted_us: int) -> StepStory:
    if not 0 < at_us < _LAST_US:
        return StepStory(step=name, at="", after_ms=None)
    return StepStory(step=name, at=utc(at_us), after_ms=(at_us - accepted_us) / US_PER_MS)


def utc(time_us: int) -> str:
    """RFC 3339 with microseconds; "" for 0, which stands for no time."""
    if not time_us:
        return ""
    seconds, microseconds = divmod(time_us, US_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
