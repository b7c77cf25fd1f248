"""Refused writes: told until one is taken, and tried again with pauses that grow."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import NS_PER_S
from pipeline_operator import limits
from pipeline_operator.record import Write
from pipeline_operator.runtime.refusals import Refusals, probes_of
from pipeline_operator.runtime.scaler import Written

WRITE = Write(stage="agent", target="rl-agent", before=2, replicas=5)
FORBIDDEN = Written(WRITE, None, "no right", refusal="ScaleForbidden")
AWAY = Written(WRITE, None, "no answer", away=True)
DONE = Written(WRITE, None)
TARGETS = {"agent": ("rl-agent", 2)}


def test_a_refusal_names_its_target_and_what_was_said_until_a_write_is_taken() -> None:
    refusals = Refusals()
    refusals.note(FORBIDDEN, 0)
    told = refusals.told(0)["agent"]
    assert (told.reason, told.waits) == ("ScaleForbidden", True)
    assert told.message == "the API server refuses to scale StatefulSet rl-agent: no right"
    refusals.note(AWAY, 1)
    assert refusals.told(1)["agent"].reason == "ScaleForbidden", "an API server that is away proves nothing"
    refusals.note(DONE, 2)
    assert refusals.told(2) == {}


def test_an_api_server_that_is_away_refuses_nothing() -> None:
    refusals = Refusals()
    refusals.note(AWAY, 0)
    assert refusals.told(0) == {}


@given(st.integers(), st.integers(1, 40))
def test_pauses_grow_to_a_minute_and_not_beyond(seed: int, times: int) -> None:
    refusals, now_ns = Refusals(random.Random(seed)), 0
    pauses_s = []
    for _ in range(times):
        refusals.note(FORBIDDEN, now_ns)
        began_ns = now_ns
        while refusals.told(now_ns)["agent"].waits:
            now_ns += NS_PER_S // 4
        pauses_s.append((now_ns - began_ns) / NS_PER_S)
    for number, pause_s in enumerate(pauses_s):
        most_s = min(limits.MAX_REFUSED_AGAIN_S, limits.FIRST_REFUSED_AGAIN_S * 2**number)
        assert most_s / 2 <= pause_s <= most_s + 0.25


def test_what_nothing_is_written_of_is_probed_when_its_wait_is_over() -> None:
    refusals = Refusals()
    refusals.note(FORBIDDEN, 0)
    later_ns = round(limits.FIRST_REFUSED_AGAIN_S * NS_PER_S)
    assert probes_of(refusals.told(0), TARGETS, ()) == ()
    [probe] = probes_of(refusals.told(later_ns), TARGETS, ())
    assert (probe.target, probe.before, probe.replicas) == ("rl-agent", 2, 2)
    assert probes_of(refusals.told(later_ns), TARGETS, [WRITE]) == ()
    assert probes_of(refusals.told(later_ns), {}, ()) == (), "its target is at fault just now"
    refusals.forget("agent")
    assert refusals.told(later_ns) == {}
