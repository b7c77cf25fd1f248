"""How long the pipeline needs after the last request until everything it accepted is audited."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from loadtests import limits
from loadtests.web import fetch, gauges
from pipeline.errors import MissingError

DEPTH = "ringline_gateway_journal_depth"
ACCEPTED = "ringline_gateway_accepted_total"
DUPLICATES = "ringline_gateway_duplicates_total"


class Gateway(NamedTuple):
    """What a gateway's metrics page says: events unsettled, and taken since it started."""

    depth: int
    accepted: int
    duplicates: int


def look(gateway_url: str) -> Gateway | None:
    """None when it does not answer, or says something else."""
    try:
        page = fetch(f"{gateway_url}/metrics")
    except MissingError:
        return None
    found = gauges(page.body.decode(errors="replace"))
    if page.status != 200 or DEPTH not in found:
        return None
    return Gateway(int(found[DEPTH]), int(found.get(ACCEPTED, 0)), int(found.get(DUPLICATES, 0)))


class Drained(NamedTuple):
    """`took_s` is None when it was not drained while it was watched."""

    took_s: float | None
    watched_s: float
    last: Gateway | None


def watch_drain(gateway_url: str, gone: Callable[[], bool]) -> Drained:
    """Looks until nothing is unsettled, the pipeline is gone, or `limits.DRAIN_MOST_S` are over."""
    started_s = time.monotonic()
    found = None
    while (passed_s := time.monotonic() - started_s) < limits.DRAIN_MOST_S and not gone():
        found = look(gateway_url)
        if found is not None and not found.depth:
            return Drained(passed_s, passed_s, found)
        if found is None and passed_s > limits.DRAIN_MOST_S / 4:
            break
        time.sleep(limits.DRAIN_LOOK_S)
    return Drained(None, time.monotonic() - started_s, found)
