"""From what the pods' collectors answer to the signals of a stage."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.snapshot import Counts, Latency, Replica, Snapshot, Stage
from pipeline.telemetry.sketch import Sketch
from pipeline_operator.merge import Answer, Digests, merge
from pipeline_operator.observation import SlaVerdict, StageSignals
from pipeline_operator.spec import LatencySla, Slas, StageSpec

NOW_US = 1_700_000_000_000_000
AGENT = StageSpec(
    name="agent",
    target="agent",
    upstream=("gateway",),
    slas=Slas(latency=(LatencySla(event="AGENT_DECISION", percentile_basis_points=9500, limit_ms=30),)),
)
GATEWAY = StageSpec(name="gateway", target="gateway")


def counts(**figures: Any) -> tuple[Counts, ...]:
    return tuple(Counts(window_s=window_s, **figures) for window_s in (1.0, 5.0, 60.0))


def an_answer(
    pod: str,
    *,
    replicas: tuple[Replica, ...] = (),
    stages: tuple[Stage, ...] = (),
    age_ms: int = 100,
    schema: int = 1,
    taken_us: int = NOW_US - 100_000,
) -> Answer:
    snapshot = Snapshot(
        schema=schema, taken_us=taken_us, uptime_s=1, stages=stages, replicas=replicas, latencies=()
    )
    return Answer(pod=pod, stage=pod.split("-")[0], age_ms=age_ms, snapshot=snapshot)


def agents(pod: str, latencies: tuple[Latency, ...] = (), **figures: Any) -> Answer:
    """An agent pod's own word."""
    stage = Stage(stage="agent", lag_ms=None, depth=2, counts=counts(**figures), latencies=latencies)
    return an_answer(pod, stages=(stage,))


def gateways(lag_ms: float, throttled: int = 0, ordinal: int = 0, **rest: Any) -> Answer:
    """A gateway pod's word about an agent."""
    replica = Replica(stage="agent", ordinal=ordinal, name=f"agent-{ordinal}", age_ms=1, lag_ms=lag_ms)
    stage = Stage(
        stage="agent", lag_ms=lag_ms, depth=0, counts=counts(flow_throttled=throttled), latencies=()
    )
    return an_answer("gateway-0", replicas=(replica,), stages=(stage,), **rest)


def merged(*answers: Answer, pods: tuple[str, ...] = ("agent-0", "agent-1")) -> StageSignals:
    expected = {"agent": pods, "gateway": ("gateway-0",)}
    return merge((GATEWAY, AGENT), expected, answers, stale_after_ms=3000, now_us=NOW_US)["agent"]


def test_lag_is_the_worst_and_counts_are_the_sum_over_all_who_speak() -> None:
    signals = merged(
        agents("agent-0", handled=40, blocked_ms=5.4), agents("agent-1", handled=60), gateways(1234.4, 7)
    )
    assert signals.lag_ms == 1234
    assert (signals.window(1000).handled, signals.window(1000).flow_throttled) == (100, 7)
    assert signals.window(60_000).blocked_ms == 5
    assert signals.depth == 4
    assert (signals.sources.expected, signals.sources.answered) == (2, 2)
    assert signals.sources.ignored == ()


def test_percentiles_come_from_merged_buckets() -> None:
    def told(*values_ms: int) -> tuple[Latency, ...]:
        sketch = Sketch()
        sketch.add([value * 1_000_000 for value in values_ms])
        return tuple(
            Latency(event="AGENT_DECISION", window_s=window, count=len(values_ms), sketch=sketch.to_bytes())
            for window in (1.0, 5.0, 60.0)
        )

    # Nine tenths are fast in one pod, and all are slow in the other: no average of the two says p95 = 100 ms.
    fast, slow = told(*[1] * 180), told(*[100] * 20)
    signal = merged(agents("agent-0", fast), agents("agent-1", slow)).latencies[0]
    assert (signal.count, signal.verdict) == (200, SlaVerdict.VIOLATED)
    assert signal.value_us == pytest.approx(100_000, rel=0.004)


def test_a_latency_without_buckets_is_not_believed() -> None:
    bare = (Latency(event="AGENT_DECISION", window_s=1.0, count=50, p95_ns=1),)
    signals = merged(agents("agent-0", bare), agents("agent-1"))
    assert signals.latencies[0].verdict is SlaVerdict.UNKNOWN
    assert signals.sources.answered == 1
    assert "without its buckets" in signals.sources.ignored[0]


def test_broken_buckets_are_named() -> None:
    broken = (Latency(event="AGENT_DECISION", window_s=1.0, count=50, sketch=b"nonsense"),)
    assert "sketch" in merged(agents("agent-0", broken), agents("agent-1")).sources.ignored[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (agents("agent-1", handled=-1), "handled = -1"),
        (agents("agent-1", handled=10**12), "handled = 1000000000000"),
        (agents("agent-1", blocked_ms=math.nan), "blocked_ms = nan"),
        (agents("agent-1", blocked_ms=math.inf), "blocked_ms = inf"),
        (agents("agent-1", blocked_ms=1e9), "blocked_ms = 1000000000.0"),
        (agents("agent-1", flow_throttled=-3), "(3 times)"),
        (an_answer("agent-1", schema=2), "snapshot of schema 2, expected 1"),
        (an_answer("agent-1", age_ms=3001), "3001 ms old, at most 3000"),
        (an_answer("agent-1", age_ms=-5), "-5 ms old"),
        (Answer(pod="agent-1", stage="agent", age_ms=0, fault="HTTP 500"), "agent-1: HTTP 500"),
    ],
)
def test_what_cannot_be_is_ignored_by_name_and_counts_as_no_answer(answer: Answer, said: str) -> None:
    signals = merged(agents("agent-0", handled=40), answer)
    assert signals.window(1000).handled == 40
    assert signals.sources.answered == 1
    assert any(said in text for text in signals.sources.ignored)


@pytest.mark.parametrize("lag_ms", [-1.0, math.nan, math.inf, 1e12])
def test_a_sender_that_lies_about_the_lag_is_not_believed(lag_ms: float) -> None:
    answers = (agents("agent-0"), agents("agent-1"), gateways(lag_ms))
    assert merged(*answers).lag_ms is None
    gateway = merge(
        (GATEWAY, AGENT), {"gateway": ("gateway-0",)}, answers, stale_after_ms=3000, now_us=NOW_US
    )
    assert gateway["gateway"].sources.answered == 0


def test_a_mute_pod_is_named() -> None:
    sources = merged(agents("agent-0")).sources
    assert (sources.expected, sources.answered, sources.ignored) == (2, 1, ("agent-1: no answer",))


def test_a_clock_that_is_off_is_told_of_and_does_not_matter() -> None:
    answer = an_answer("agent-0", taken_us=NOW_US - 3_600_000_000)
    sources = merged(answer, agents("agent-1")).sources
    assert sources.answered == 2
    assert "agent-0: its wall clock is 3599900 ms off" in sources.remarks


def test_trade_throttling_is_no_signal() -> None:
    quiet = merged(agents("agent-0", handled=9), agents("agent-1"))
    assert merged(agents("agent-0", handled=9, trade_throttled=500), agents("agent-1")) == quiet


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(3)))
def test_the_order_of_answers_means_nothing(order: list[int]) -> None:
    answers = [agents("agent-0", handled=40), agents("agent-1", handled=-2), gateways(50.0, 3)]
    assert merged(*(answers[index] for index in order)) == merged(*answers)


def a_word(pod: str, figure: int) -> Answer:
    """Some sound, some impossible."""
    sketch = Sketch()
    sketch.add([figure * 1_000_000 + 1] * 40)
    told = Latency(event="AGENT_DECISION", window_s=1.0, count=40, sketch=sketch.to_bytes(), lost=figure - 1)
    if pod == "gateway-0":
        return gateways(float(figure * 100 - 100), figure)
    return agents(pod, latencies=(told,), handled=figure * 10 - 5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["agent-0", "agent-1", "gateway-0"]), st.integers(0, 3)), max_size=8
    ),
    st.lists(st.sampled_from([30, 5]), min_size=8, max_size=8),
)
def test_what_is_kept_from_tick_to_tick_changes_nothing(
    ticks: list[dict[str, int]], limits_ms: list[int]
) -> None:
    digests = Digests()
    said: dict[str, Answer] = {}
    for news, limit_ms in zip(ticks, limits_ms, strict=False):
        said |= {pod: a_word(pod, figure) for pod, figure in news.items()}
        sla = LatencySla(event="AGENT_DECISION", percentile_basis_points=9500, limit_ms=limit_ms)
        stages = (GATEWAY, replace(AGENT, slas=Slas(latency=(sla,))))
        expected = {"agent": ("agent-0", "agent-1"), "gateway": ("gateway-0",)}
        for answer in said.values() if len(news) > 1 else ():  # read as it comes, or with the tick
            assert answer.snapshot is not None
            digests.read(answer.pod, answer.stage, answer.snapshot)
        told = [
            merge(stages, expected, said.values(), stale_after_ms=3000, now_us=NOW_US, digests=kept)
            for kept in (digests, None)
        ]
        assert told[0] == told[1]


def test_a_snapshot_that_was_seen_is_not_read_again() -> None:
    digests = Digests()
    answers = [agents("agent-0", handled=40), agents("agent-1", handled=60)]

    def signals(said: list[Answer]) -> StageSignals:
        return merge((AGENT,), {}, said, stale_after_ms=3000, now_us=NOW_US, digests=digests)["agent"]

    first, again = signals(answers), signals([replace(answer, age_ms=200) for answer in answers])
    assert again.windows is first.windows
    assert (first.sources.oldest_ms, again.sources.oldest_ms) == (100, 200)
    assert signals([answers[0]]).window(1000).handled == 40, "a pod that is gone counts no more"


def test_all_events_of_a_stage_with_a_latency_sla_are_named() -> None:
    def told(*events: str) -> tuple[Latency, ...]:
        return tuple(Latency(event=event, window_s=1.0, count=0) for event in events)

    signals = merged(agents("agent-0", told("B", "A")), agents("agent-1", told("C")))
    assert signals.events == ("A", "B", "C")
    no_sla = merge(
        (replace(AGENT, slas=Slas()),), {}, [agents("agent-0", told("A"))], stale_after_ms=3000, now_us=NOW_US
    )
    assert no_sla["agent"].events == ()
