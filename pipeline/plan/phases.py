"""The loads to plan for, as a table, and what is assumed where nobody measured."""

from __future__ import annotations

from msgspec import Struct

HOUR_S = 3_600


class Phase(Struct, frozen=True, kw_only=True):
    """One load. `regions` share it by key; with several, one may be down and the others carry its share."""

    name: str
    events_a_day: float
    peak_hour: float
    """Events within the fullest hour."""
    regions: int = 1

    @property
    def region_per_s(self) -> float:
        """Mean rate of the peak hour in one region, with one of several down."""
        return self.peak_hour / HOUR_S / max(1, self.regions - 1)


PHASES = (
    Phase(name="43 M a day", events_a_day=43e6, peak_hour=43e6 / 24),
    Phase(name="500 M a day", events_a_day=500e6, peak_hour=50e6),
    Phase(name="500 M a day, 3 regions", events_a_day=500e6, peak_hour=50e6, regions=3),
)

WANTED_P95_MS = {"gateway": 50.0, "agent": 30.0, "exec": 15.0, "audit": 20.0}
"""What each stage may take of an event, wait and service, at the peak."""
ALONE = {
    "gateway": "one gateway with one journal is supported: several, each the home of its keys, are needed",
    "audit": "an audit in SQLite has one writer: PostgreSQL, and above that a chain for each shard of keys",
}
"""Stages of which there is one, and what it takes to have more."""


class Assumptions(Struct, frozen=True, kw_only=True):
    """What nobody measured."""

    burst: float = 1.5
    """The peak second by the mean of its hour."""
    use: float = 0.7
    """A worker is busy at most this share of the peak second: for restarts, and for what is not known."""
    ca2: float = 2.0
    """Squared coefficient of variation of the times between arrivals; 1 is Poisson. The bursts of a journal's
    commits come on top."""
    cs2: float = 1.0
    """Of the service times; 1 is exponential."""
    keys: int = 5_000
    """Symbols, equally busy."""
