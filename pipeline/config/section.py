"""What every section of the configuration is made of: its base and the kinds of values that several have."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pipeline import limits

Port = Annotated[int, Meta(ge=1, le=65535)]
Host = Annotated[str, Meta(min_length=1, max_length=253)]
Workers = Annotated[int, Meta(ge=1, le=limits.MAX_WORKERS)]
PositiveSeconds = Annotated[int, Meta(ge=1, le=31_536_000)]
MembersBy = Literal["local", "dns", "listed"]
"""Where the workers of a stage are found; see `Agent.members`."""
Service = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?[.]?(?!\n)$", max_length=253)]
Replicas = Annotated[int, Meta(ge=1, le=limits.MAX_REPLICAS)]
EventText = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_CHARS)]
_PERCENTILE = r"^p(([1-9][0-9]?|0[1-9])(_[0-9]{1,2})?|00?_(0[1-9]|[1-9][0-9]?))(?!\n)$"
"""0 is none. Look-aheads are not for every reader of the schema: the chart's leaves this one out."""
PercentileText = Annotated[str, Meta(pattern=_PERCENTILE)]
LimitMs = Annotated[float, Meta(ge=limits.MIN_SLA_LIMIT_NS / 1e6, le=limits.MAX_SLA_LIMIT_MS)]
HealthPort = Annotated[int, Meta(ge=0, le=65535)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section."""
