"""A slice of the simulation; `ringline simulate links` runs as many seeds as one likes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pipeline.simulation.plan import draw
from pipeline.simulation.rules import RULES
from pipeline.simulation.run import run_seed, run_seeds

ROUGH = (
    "kill", "died", "pause", "cut", "scale", "disk failed", "sick", "store", "freed", "full", "dead_lettered",
    "fills", "denied",
)  # fmt: skip
CAUGHT_WITHIN = 60
"""Seeds in which taking a rule out must show."""
RARE = {"unlink": 250}
"""A power cut has to come between two syncs of one compaction; the journal's own tests make that moment."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("hard", [False, True])
def test_nothing_is_lost_doubled_reordered_or_forked(hard: bool) -> None:
    total: dict[str, int] = {}
    for result in run_seeds(10_000, 60, hard=hard):
        assert not result.violation, f"seed {result.seed}: {result.violation}\n" + "\n".join(result.story)
        for name, count in result.counts.items():
            total[name] = total.get(name, 0) + count
    # The weather was rough and trading went on, or this proves nothing.
    for what in ROUGH:
        assert total[what] > 0, what


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_taken_out_of_the_code_is_missed(rule: str) -> None:
    seeds = RARE.get(rule, CAUGHT_WITHIN)
    for result in run_seeds(1, seeds, hard=True, rule=rule):
        if result.violation:
            assert result.story
            return
    pytest.fail(f"{seeds} seeds are clean without the rule: {RULES[rule].meaning}")


def test_a_seed_is_always_the_same_run() -> None:
    assert run_seed(7, hard=True).counts == run_seed(7, hard=True).counts
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
