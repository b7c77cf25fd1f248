"""Load that stays as it is: the stage is raised to what it takes, and then left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise

import pytest
from chart_release import Release, installed, until
from planned_load import Phase, PlannedLoad
from stage_watch import StageWatch

pytestmark = pytest.mark.slow

MOST = 5
CONSTANT = Phase(13, 200)
"""One exec has room for 10 a second, two have for the share that either may get."""
CALM_S = 60
SETS = (
    "config.exec.venue_latency_ms=100",
    "config.exec.venue_concurrency=1",
    "config.links.credit=16",
    "config.links.depth=4",
    f"exec.maxReplicas={MOST}",
    "operator.tuning.lowerHoldMs=2000",
)


@pytest.fixture(scope="module")
def operated() -> Iterator[Release]:
    with installed(f"ringline-constant-{os.getpid()}", *SETS) as release:
        yield release


def test_a_constant_load_is_met_without_a_flap(operated: Release) -> None:
    load = PlannedLoad(operated, "load-constant", [CONSTANT])
    with StageWatch(operated, "exec", "agent", MOST) as watch, load:
        load.finish(CONSTANT.seconds + 120)
    end_s = load.start_s + CONSTANT.seconds
    during = [(at_s, count) for at_s, count in watch.replicas if at_s <= end_s]
    told = [(round(at_s - load.start_s, 1), count) for at_s, count in during]
    print(f"replicas over {CONSTANT.seconds} s: {told}")
    assert during[-1][1] > 1
    rises = [after > before for (_, before), (_, after) in pairwise(during)]
    assert rises == sorted(rises, reverse=True), f"raised again after it was lowered: {told}"
    assert during[-1][0] <= end_s - CALM_S, f"changed within the last {CALM_S} s: {told}"
    late = [lag.lag_ms for lag in watch.lags if end_s - CALM_S <= lag.at_s <= end_s]
    met = [lag_ms for lag_ms in late if lag_ms <= 1000]
    assert len(met) >= 0.99 * len(late), "the SLA is met by what it was left at"
    until("all is audited", lambda: set(load.accepted) <= set(operated.audited()))
    assert sorted(operated.audited()) == sorted(load.accepted)
