"""An event's way through the pipeline as people read it: what was checked at the gateway, and when each stage
had done its part. Both are of the copy that became the row; what was not recorded says so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from pipeline.checks import GATES, decode_checks
from pipeline.clock import US_PER_S
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


class WayStory(Struct, frozen=True, kw_only=True):
    """When each step was done, in microseconds since acceptance by the wall clocks of the machines that took
    part; null: not recorded. The times of day are for who shows them (`steps`): six texts would cost the feed
    as much as all the rest of a row."""

    synced_us: int | None
    dispatched_us: int | None
    decided_us: int | None
    executed_us: int | None
    audited_us: int | None


class Step(Struct, frozen=True):
    """As people read it: `at` is UTC, empty where nothing was recorded; `after_us` is since acceptance."""

    name: str
    at: str
    after_us: int | None


_PASSED = tuple(tuple(GATES[gate] for gate in GATES if gates & gate) for gates in range(2 * max(GATES)))


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
        passed=_PASSED[checks.gates % len(_PASSED)],
    )


def way_of(delivery: Delivery) -> WayStory:
    """Every step after acceptance, to the audit."""
    accepted_us = delivery.accepted_us
    return WayStory(
        synced_us=_after(delivery.synced_us, accepted_us),
        dispatched_us=_after(delivery.dispatched_us, accepted_us),
        decided_us=_after(delivery.decided_us, accepted_us),
        executed_us=_after(delivery.executed_us, accepted_us),
        audited_us=_after(delivery.audited_us, accepted_us),
    )


def _after(at_us: int, accepted_us: int) -> int | None:
    return at_us - accepted_us if 0 < at_us < _LAST_US else None


def steps(accepted: str, way: WayStory) -> Iterator[Step]:
    """The way with its times of day, from the text of the accept time on."""
    start = datetime.fromisoformat(accepted)
    yield Step("accepted", accepted, 0)
    for field in way.__struct_fields__:
        after_us = getattr(way, field)
        at = "" if after_us is None else _text(start + timedelta(microseconds=after_us))
        yield Step(field.removesuffix("_us"), at, after_us)


def utc(time_us: int) -> str:
    """RFC 3339 with microseconds; "" for 0, which stands for no time."""
    if not time_us:
        return ""
    seconds, microseconds = divmod(time_us, US_PER_S)
    return _text(datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
