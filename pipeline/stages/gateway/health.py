"""Whether the gateway takes events, and whether it should be sent any."""

from __future__ import annotations

from pipeline import limits
from pipeline.clock import NS_PER_MS, NS_PER_US, US_PER_S, Clock
from pipeline.stages.gateway.answer import Answer
from pipeline.stages.gateway.problem import Problem, problem

_DRAIN_RETRY_S = 5
"""A gateway that leaves is back, or replaced, after about this long."""
_FAILED_RETRY_S = 30
_STEADY_READ_NS = 100 * NS_PER_MS
"""Reading two clocks takes a microsecond; if it took this long the process was paused in between."""


class WallWatch:
    """Notices when the wall clock steps: signatures and accept times hang on it.

    The offset between wall and monotonic clock is followed while it drifts, as under NTP, and kept when it
    jumps, so that a clock that comes back is well again.
    """

    __slots__ = ("_clock", "_offset_us", "stepped_us")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_us = clock.wall_us() - clock.monotonic_ns() // NS_PER_US
        self.stepped_us = 0

    def look(self) -> int:
        """How far the wall clock is off, microseconds; 0 while it is within MAX_CLOCK_STEP_US."""
        before_ns = self._clock.monotonic_ns()
        wall_us = self._clock.wall_us()
        if self._clock.monotonic_ns() - before_ns > _STEADY_READ_NS:
            return self.stepped_us
        offset_us = wall_us - before_ns // NS_PER_US
        step_us = offset_us - self._offset_us
        if abs(step_us) <= limits.MAX_CLOCK_STEP_US:
            self._offset_us = offset_us
            step_us = 0
        self.stepped_us = step_us
        return step_us


class Health:
    """`refusal` is what every new event is answered with, None while they are taken."""

    __slots__ = ("_passing", "_reason", "_watch", "refusal", "stopped")

    def __init__(self, clock: Clock) -> None:
        self._watch = WallWatch(clock)
        self._reason = ""
        self._passing = False
        self.refusal: Answer | None = None
        self.stopped: dict[str, str] = {}
        """Keys of which nothing is taken until people have looked, and why."""

    def drain(self) -> None:
        """No more events: the gateway leaves."""
        if self.refusal is None or self._passing:
            self._passing = False
            detail = "no more events are taken here"
            self.refusal = problem(Problem.DRAINING, detail, retry_after_s=_DRAIN_RETRY_S).closing()
            self._reason = "draining"

    def fail(self, reason: str) -> Answer:
        """No more events: what the journal holds is unknown until the next start. The new refusal."""
        detail = "no more events are taken until the gateway is started again"
        self.refusal = problem(Problem.JOURNAL_FAILED, detail, retry_after_s=_FAILED_RETRY_S)
        self._reason = reason
        self._passing = False
        return self.refusal

    def crowd(self, reason: str) -> None:
        """No new events for as long as `reason` lasts (a disk nearly full); empty: they are taken again."""
        if self.refusal is not None and not self._passing:
            return
        self._passing = bool(reason)
        self._reason = reason
        full = Problem.JOURNAL_FULL
        self.refusal = problem(full, reason, retry_after_s=_FAILED_RETRY_S) if reason else None

    def unready(self) -> str:
        """Why nothing should be sent here; empty when all is well."""
        if self._reason:
            return self._reason
        if step_us := self._watch.look():
            return f"the wall clock stepped by {step_us / US_PER_S:+.3f} s; the limit is 1 s"
        return ""
