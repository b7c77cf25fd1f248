"""Whatever throttles are set, and however often agents forget: every answer is what counting all that ever
happened says."""

from __future__ import annotations

from forgetful_desk import ForgetfulDesk
from hypothesis import given, settings
from hypothesis import strategies as st
from throttle_oracle import HISTORIES, Wish, throttles

from pipeline.config.schema import Throttle
from pipeline.trading.scopes import MemoryScopes, Scopes

OWN = ("strategy_and_symbol", "symbol", "symbol")


@settings(max_examples=200, deadline=None)
@given(throttles(OWN), HISTORIES, st.integers(0, 2**30))
def test_what_counts_within_a_symbol_needs_nothing_but_the_keys_state(
    configured: tuple[Throttle, ...], history: list[Wish], seed: int
) -> None:
    """Each agent begins with an empty memory of its own: it knows what the state says, and nothing else."""
    desk = ForgetfulDesk(configured, MemoryScopes, seed)
    desk.run(history)
    positions = {scope: size for scope, size in desk.oracle.positions.items() if size}
    assert desk.positions() == positions


@settings(max_examples=200, deadline=None)
@given(throttles(), HISTORIES, st.integers(0, 2**30))
def test_with_what_counts_over_symbols_in_one_memory_every_answer_is_what_all_entries_say(
    configured: tuple[Throttle, ...], history: list[Wish], seed: int
) -> None:
    scopes: Scopes = MemoryScopes()
    ForgetfulDesk(configured, lambda: scopes, seed).run(history)
