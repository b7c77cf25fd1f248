"""`ringline bench throttle`: one decision of the trade throttle, in process, in processor time."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import util

from msgspec import Struct

from pipeline.clock import US_PER_S
from pipeline.config import schema
from pipeline.figures import Bench, at_most
from pipeline.machine import machine, versions
from pipeline.trading.throttle import Rule, compile_rule, enter, judge, origin

WANTED_US = 3.0
PEER_US = 6.2
"""`throttled-py`'s GCRA in memory, the faster of the peers known, on a comparable machine."""
_ENTRIES = 10
_SPACING_S = 6
_WINDOW_S = _ENTRIES * _SPACING_S


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
    for entries in (_ENTRIES, 100, 1000):
        say(f"every rule of one throttle, {entries} entries in its window")
        name = "throttle.every_rule" + (f".{entries}" if entries != _ENTRIES else "")
        value = _best(options, (_every_rule(entries),), entries)
        results.append(at_most(name, value, "µs", WANTED_US, against, peer))
    say("both at once")
    both = _best(options, (window, _every_rule(_ENTRIES)))
    results.append(at_most("throttle.two_throttles", both, "µs", WANTED_US, against, peer))
    return Bench(machine=machine(), versions=versions(), results=tuple(results))


def _every_rule(entries: int) -> Rule:
    """One that lets as many pass as its window, 6 s an entry, may hold."""
    return compile_rule(
        schema.Throttle(
            name="all",
            max_trades=entries,
            window_seconds=_SPACING_S * entries,
            max_notional="1000000",
            min_spacing_seconds=1,
            cooldown_seconds=1,
        ),
        8,
    )


def _best(options: Options, rules: tuple[Rule, ...], entries: int = _ENTRIES) -> float:
    return min(_decisions_us(options.decisions, rules, entries) for _ in range(options.repeats))


def _decisions_us(decisions: int, rules: tuple[Rule, ...], entries: int) -> float:
    """Mean of a stream of which about half passes, and which began when the windows had filled."""
    scope, now_us = origin(), 0
    for now_us in range(0, entries * _SPACING_S * US_PER_S, _SPACING_S * US_PER_S):
        scope = enter(scope, now_us, 1_000_000)
    step_us = _SPACING_S * US_PER_S // 2
    started = time.process_time()
    for _ in range(decisions):
        now_us += step_us
        if judge(rules, scope, now_us, 1_000_000).allowed:
            scope = enter(scope, now_us, 1_000_000)
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
