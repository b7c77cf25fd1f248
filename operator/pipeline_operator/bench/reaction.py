"""Breach to patch, on the API server that KUBECONFIG names: a real operator, fake collectors."""

from __future__ import annotations

import asyncio
import os

from pipeline.errors import RinglineError
from pipeline.figures import Result, at_most, shown, skipped

TARGET_S = 1.0
MEMORY_TARGET_MIB = 120.0
NAMES = (
    "breach to patch, p95",
    "breach to patch, 50 Pipelines at once, p95",
    "operator's memory, 70 Pipelines",
)


def run() -> tuple[Result, ...]:
    """The rows; each skipped with the reason where there is no cluster."""
    if not os.environ.get("KUBECONFIG"):
        return _all_skipped("KUBECONFIG is not set")
    from pipeline_operator.kube.access import find_access
    from pipeline_operator.trial.reaction import measure_reaction, p95

    try:
        figures = asyncio.run(measure_reaction(find_access()))
    except (RinglineError, TimeoutError) as error:
        return _all_skipped(str(error))
    single_s, together_s = p95(figures.singles_s), p95(figures.together_s)
    median_s = figures.singles_s[len(figures.singles_s) // 2]
    limit = "the wanted reaction"
    return (
        at_most(NAMES[0], single_s, "s", TARGET_S, limit, TARGET_S),
        shown("breach to patch, median", median_s, "s", limit, TARGET_S),
        at_most(NAMES[1], together_s, "s", TARGET_S, limit, TARGET_S),
        at_most(NAMES[2], figures.rss_mib, "MiB", MEMORY_TARGET_MIB, "the wanted memory", MEMORY_TARGET_MIB),
    )


def _all_skipped(why: str) -> tuple[Result, ...]:
    return tuple(skipped(name, "MiB" if "memory" in name else "s", why) for name in NAMES)
