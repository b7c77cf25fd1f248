"""Pipelines and what is seen of them, for tests of the policy: a gateway, agents, execs and one audit."""

from __future__ import annotations

from typing import Any

from pipeline_operator.memory import Capacity, Memory, Second, StageMemory
from pipeline_operator.observation import (
    WINDOWS_MS,
    LatencySignal,
    Observation,
    Sources,
    StageObservation,
    StageSignals,
    WindowCounts,
)
from pipeline_operator.spec import PipelineSpec, Slas, StageSpec

START_US = 1_700_000_000_000_000
MS, S = 1_000, 1_000_000
NAMES = ("gateway", "agent", "exec", "audit")


def a_spec(**changes: Any) -> PipelineSpec:
    """Four stages; lag at most 1 s, throttling at most 10 per mille."""
    slas = Slas(lag_ms=1000, throttle_per_mille=10)
    stages = (
        StageSpec(name="gateway", target="gateway"),
        StageSpec(name="agent", target="agent", upstream=("gateway",), max_replicas=20, slas=slas),
        StageSpec(name="exec", target="exec", upstream=("agent",), max_replicas=20, slas=slas),
        StageSpec(name="audit", target="audit", upstream=("exec",), slas=slas),
    )
    return PipelineSpec(**({"stages": stages} | changes))


def a_stage(
    name: str,
    *,
    ready: int = 2,
    rate: int = 100,
    lag_ms: int | None = 20,
    throttled: int = 0,
    depth: int | None = None,
    blocked_per_mille: int = 0,
    latencies: tuple[LatencySignal, ...] = (),
    answered: int | None = None,
    age_ms: int = 100,
    **rest: Any,
) -> StageObservation:
    """A stage that handles `rate` messages a second with all windows alike; where messages wait for it, so
    many are with it as well, unless `depth` says otherwise."""
    return StageObservation(
        stage=name,
        **({"replicas": ready} | rest),
        ready=ready,
        signals=StageSignals(
            sources=Sources(
                expected=ready, answered=ready if answered is None else answered, oldest_ms=age_ms
            ),
            lag_ms=None if name == "gateway" else lag_ms,
            depth=throttled if depth is None else depth,
            workers=ready,
            windows=tuple(
                WindowCounts(
                    window_ms=ms,
                    handled=rate * ms // 1000,
                    flow_throttled=throttled * ms // 1000,
                    blocked_ms=ready * ms * blocked_per_mille // 1000,
                )
                for ms in WINDOWS_MS
            ),
            latencies=latencies,
        ),
    )


def seen(**stages: StageObservation) -> Observation:
    """All four stages, quiet ones where none is given: the gateway and the audit have one replica."""
    found = [
        stages.get(name) or a_stage(name, ready=1 if name in ("gateway", "audit") else 2) for name in NAMES
    ]
    return Observation(stages=tuple(found))


def a_minute(load_milli: int, lag_ms: int, now_us: int) -> tuple[Second, ...]:
    """A minute of history that ends now."""
    now_s = now_us // S
    return tuple(Second(now_s - back, load_milli, lag_ms) for back in range(59, -1, -1))


def remembering(now_us: int = START_US, **stages: dict[str, Any]) -> Memory:
    """A memory in which each stage has a quiet minute behind it, and what is given."""
    quiet: dict[str, Any] = {
        "seconds": a_minute(100_000, 20, now_us),
        "ready": 2,
        "ready_since_us": now_us - 600 * S,
    }
    return Memory(
        at_us=now_us,
        stages=tuple(StageMemory(stage=name, **(quiet | stages.get(name, {}))) for name in NAMES),
    )


def learned(rate: int) -> Capacity:
    """A capacity of `rate` messages a second, known well."""
    return Capacity(samples=30, mean_milli=rate * 1000, variance=0, shown_milli=0)
