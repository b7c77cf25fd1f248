"""A source's rate limit as it is told: `RateLimit` and `RateLimit-Policy` (IETF draft
ietf-httpapi-ratelimit-headers-10) and, when there is nothing left, 429 with `Retry-After`."""

from __future__ import annotations

from pipeline.clock import NS_PER_S
from pipeline.stages.gateway.answer import Answer, Header
from pipeline.stages.gateway.gcra import Allowance, Gcra
from pipeline.stages.gateway.problem import Problem, problem


class Limit:
    """`events` in any `period_s`, counted by `gcra`."""

    def __init__(self, gcra: Gcra, events: int, period_s: int) -> None:
        self.take = gcra.take
        self.burst = gcra.burst
        self._text = f"{events} events in {period_s} s, {gcra.burst} at once"
        self._policy = (b"ratelimit-policy", b'"source";q=%d;w=%d' % (events, period_s))

    def headers(self, allowance: Allowance) -> list[Header]:
        """What every answer to the source says: how much is left, and in how many seconds all is again."""
        reset_s = _seconds(allowance.reset_after_ns)
        return [self._policy, (b"ratelimit", b'"source";r=%d;t=%d' % (allowance.remaining, reset_s))]

    def refusal(self, allowance: Allowance) -> Answer:
        """429."""
        return problem(
            Problem.RATE_LIMITED,
            f"the limit is {self._text}",
            retry_after_s=max(1, _seconds(allowance.retry_after_ns)),
            headers=self.headers(allowance),
        )


def _seconds(nanoseconds: int) -> int:
    return -(-nanoseconds // NS_PER_S)
