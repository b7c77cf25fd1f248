"""Specs of Pipelines as users write them, for tests to bend."""

from __future__ import annotations

import copy
from typing import Any


def two_stages(**agent: Any) -> list[dict[str, Any]]:
    """A gateway and an agent with a lag SLA; `agent` overrides fields of the second."""
    return [
        {"name": "gateway", "target": "gateway", "slas": {"throttlePerMille": 50}},
        {
            "name": "agent",
            "target": "agent",
            "upstream": ["gateway"],
            "minReplicas": 1,
            "maxReplicas": 8,
            "slas": {"lagMs": 500},
        }
        | agent,
    ]


def with_field(stages: list[dict[str, Any]], index: int, **fields: Any) -> list[dict[str, Any]]:
    """The same with other fields in one stage."""
    changed = copy.deepcopy(stages)
    changed[index] |= fields
    return changed
