"""`ringline bench throttle`: one decision of the trade throttle, in process, in processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import util

from msgspec import Struct

from pipeline.config import schema
from pipeline.figures import Bench, at_most, shown
from pipeline.machine import machine, versions
from pipeline.trading.throttle import Rule, compile_rule, enter, judge, origin

WANTED_US = 3.0
PEER_US = 6.2
"""`throttled-py`'s GCRA in memory, the faster of the peers known, on a comparable machine."""
_WINDOW_S = 60
_ENTRIES = 10


class Options(Struct, frozen=True, kw_only=True):
    decisions: int = 200_000
    repeats: int = 3


def run(options: Options, say: Callable[[str], None]) -> Bench:
    """A decision is judgement and, when allowed, entry: what peers do in one call."""
    results = []
    peer, against = PEER_US, "throttled-py as published"
    if util.find_spec("limits") is not None:
        say("limits, in memory")
        peer, against = _limits_us(options), "limits, moving window in memory"
    say("one rule: at most so many trades in an exact window")
    window = compile_rule(schema.Throttle(name="window", max_trades=_ENTRIES, window_seconds=_WINDOW_S), 8)
    results.append(at_most("throttle.window", _best(options, (window,)), "µs", WANTED_US, against, peer))
    say("every rule of one throttle")
    every = compile_rule(
        schema.Throttle(
            name="all",
            max_trades=_ENTRIES,
            window_seconds=_WINDOW_S,
            max_notional="1000000",
            min_spacing_seconds=1,
            cooldown_seconds=1,
        ),
        8,
    )
    results.append(at_most("throttle.every_rule", _best(options, (every,)), "µs", WANTED_US, against, peer))
    say("both at once")
    results.append(shown("throttle.two_throttles", _best(options, (window, every)), "µs", against, peer))
    return Bench(machine=machine(), versions=versions(), results=tuple(results))


def _best(options: Options, rules: tuple[Rule, ...]) -> float:
    return min(_decisions_us(options.decisions, rules) for _ in range(options.repeats))


def _decisions_us(decisions: int, rules: tuple[Rule, ...]) -> float:
    """Mean of a stream of which about half passes."""
    scopes = origin(rules)
    step_us = _WINDOW_S * 1_000_000 // _ENTRIES // 2
    now_us = 0
    started = time.process_time()
    for _ in range(decisions):
        now_us += step_us
        if judge(rules, scopes, now_us, 1_000_000).allowed:
            scopes = enter(rules, scopes, now_us, 1_000_000)
    return (time.process_time() - started) / decisions * 1e6


def _limits_us(options: Options) -> float:
    from limits import RateLimitItemPerMinute
    from limits.storage import MemoryStorage
    from limits.strategies import MovingWindowRateLimiter

    limiter = MovingWindowRateLimiter(MemoryStorage())
    item = RateLimitItemPerMinute(_ENTRIES)
    count = options.decisions // 10
    started = time.process_time()
    for _ in range(count):
        limiter.hit(item, "scope")
    return (time.process_time() - started) / count * 1e6
