"""What the chart's checks have to know of the pipeline: its defaults, limits and events."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline import limits
from pipeline.config.check import MAX_DEVIATIONS
from pipeline.config.schema import Config, Instrument, Strategy, Throttle
from pipeline.config.sources import Source
from pipeline.config.valuation import Model
from pipeline.golden_steps import STEPS
from pipeline.telemetry.events import STAGES, EventID
from pipeline_operator.spec import Tuning

FIRST_FACT = 32
"""Events from here on are counts and gauges of a worker: they have no percentiles."""
LIMITS = (
    "KEY_SHARE", "MAX_ADDRESS_RANGES", "MAX_BPS", "MAX_CLAIMS", "MAX_SCALED", "MAX_SECRETS_A_SOURCE",
    "MAX_STRATEGIES_A_KEY", "MIN_JOURNAL_SEGMENTS",
)  # fmt: skip


def facts() -> dict[str, Any]:
    """All of it, as JSON has it."""
    items = (
        Instrument(),
        Model(kind="last"),
        Source(),
        Strategy(kind="custom"),
        Throttle(name="one"),
    )
    digits = len(str(limits.MAX_SCALED)) - 1
    assert 10**digits == limits.MAX_SCALED
    return {
        "defaults": msgspec.to_builtins(Config()),
        "items": {type(item).__name__: msgspec.to_builtins(item) for item in items},
        "limits": {name: getattr(limits, name) for name in LIMITS}
        | {"MAX_DEVIATIONS": MAX_DEVIATIONS, "SCALED_DIGITS": digits},
        "events": events(),
        "tuning": msgspec.to_builtins(Tuning()),
    }


def events() -> dict[str, list[str]]:
    """Stage → the latencies that it measures; `any`: those that every stage may."""
    of_stage = {event: ("gateway" if stage == "all" else stage) for stage, event, _ in STEPS}
    latencies = [event.name for event in EventID if event < FIRST_FACT]
    found = {stage: [name for name in latencies if of_stage.get(name) == stage] for stage in STAGES}
    return found | {"any": [name for name in latencies if name not in of_stage]}
