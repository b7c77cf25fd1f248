"""The order in which messages pass the stages."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_operator.spec import StageSpec


class FlowError(ValueError):
    """The stages send in a circle."""


def flow_order(stages: Sequence[StageSpec]) -> tuple[StageSpec, ...]:
    """Each stage after all that send to it; among equals by name, so that the order given means nothing.

    Unknown upstream names are passed over. Raises FlowError on a circle.
    """
    left = {stage.name: stage for stage in sorted(stages, key=lambda stage: stage.name)}
    ordered: list[StageSpec] = []
    while left:
        free = [stage for stage in left.values() if not any(name in left for name in stage.upstream)]
        if not free:
            raise FlowError(f"{', '.join(left)} send to each other in a circle")
        for stage in free:
            ordered.append(left.pop(stage.name))
    return tuple(ordered)


def stages_after(name: str, stages: Sequence[StageSpec]) -> tuple[StageSpec, ...]:
    """All that messages of a stage go on to, at once or later; itself never."""
    reached = {name}
    found: list[StageSpec] = []
    while more := [one for one in stages if one.name not in reached and reached.intersection(one.upstream)]:
        reached.update(one.name for one in more)
        found += more
    return tuple(found)
