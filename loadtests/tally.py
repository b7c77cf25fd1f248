"""What one generator process measures, second by second, and what all of them add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from loadtests import limits
from pipeline.telemetry.sketch import Sketch

INTENDED, NAIVE, ACCEPTED, LOOP_LAG = "intended", "naive", "accepted", "loop_lag"
FEED, QUERY = "feed", "query"
"""Latencies: from the intended send time to the answer; from the actual one; the former of events answered
202 alone; how late the generator's own event loop was; a feed's frame from its send time, a query from its
intended one. All in ns."""


class Moment(Struct, kw_only=True):
    """One second of one process. Requests count in the second in which they were answered.

    `met` were answered as they were expected to be, `shed` with 503 or 429 and Retry-After, `errors` in any
    other way or not at all; `retries` are attempts beyond the first, which count in none of the others.
    `planned` are requests that the shape asked for. Sketches are in their byte form.
    """

    second: int
    """Wall clock, whole seconds since the epoch."""
    users: int = 0
    planned: float = 0.0
    met: int = 0
    shed: int = 0
    errors: int = 0
    retries: int = 0
    given_up: int = 0
    """Events shed or unanswered whose retries are used up."""
    reads: int = 0
    """Queries and frames of the feed; not among the requests above."""
    read_errors: int = 0
    gaps: int = 0
    """Rows that a reader of the feed missed."""
    statuses: dict[str, int] = {}
    faults: dict[str, int] = {}
    kinds: dict[str, int] = {}
    sketches: dict[str, bytes] = {}

    @property
    def answered(self) -> int:
        return self.met + self.shed + self.errors


_COUNTS = ("met", "shed", "errors", "retries", "given_up", "reads", "read_errors", "gaps")


class Tally:
    """Counts into the current second; `take` hands out those that are over. One process's, one thread's."""

    def __init__(self) -> None:
        self._done: list[Moment] = []
        self._moment: Moment | None = None
        self._statuses: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._values: dict[str, list[int]] = {}

    def turn(self, second: int) -> Moment:
        """The moment of `second`; closes the one before it."""
        moment = self._moment
        if moment is None or moment.second != second:
            self.close()
            moment = self._moment = Moment(second=second)
        return moment

    def status(self, second: int, kind: str, status: int) -> None:
        self.turn(second)
        self._statuses[str(status)] += 1
        self._kinds[kind] += 1

    def read(self, second: int, kind: str, *, fault: str = "", gaps: int = 0) -> None:
        """Something that was read of the audit; `fault` says what went wrong."""
        moment = self.turn(second)
        moment.reads += 1
        moment.gaps += gaps
        self._kinds[kind] += 1
        if fault:
            moment.read_errors += 1
            self.fault(fault)

    def fault(self, text: str) -> None:
        """Why something counts as an error; the many are told apart up to a bound."""
        known = text in self._faults or len(self._faults) < limits.MAX_FAULTS
        self._faults[text[: limits.MAX_FAULT_CHARS] if known else "others"] += 1

    def latency(self, name: str, value_ns: int) -> None:
        self._values.setdefault(name, []).append(max(0, value_ns))

    def book(self, second: int, planned: float, users: int) -> None:
        """Notes what was planned of a second, also of one that is over."""
        self._done.append(Moment(second=second, planned=planned, users=users))

    def close(self) -> None:
        """Ends the current second."""
        moment, self._moment = self._moment, None
        if moment is None:
            return
        moment.statuses, moment.faults = dict(self._statuses), dict(self._faults)
        moment.kinds = dict(self._kinds)
        for name, values in self._values.items():
            sketch = Sketch()
            sketch.add(values)
            moment.sketches[name] = sketch.to_bytes()
        for counter in (self._statuses, self._faults, self._kinds):
            counter.clear()
        self._values.clear()
        self._done.append(moment)

    def take(self) -> list[Moment]:
        """The seconds that are over and were not taken yet."""
        done, self._done = self._done, []
        return done


class Second(Struct, kw_only=True):
    """One second of all processes together, as it is kept."""

    second: int
    users: int = 0
    planned: float = 0.0
    met: int = 0
    shed: int = 0
    errors: int = 0
    p50_ns: int | None = None
    p95_ns: int | None = None
    p99_ns: int | None = None
    """Of accepted events, from the intended send time: a quick refusal is no quick answer. None: there were
    none."""


class Totals(Struct, kw_only=True):
    """Everything that was measured over some seconds."""

    planned: float = 0.0
    met: int = 0
    shed: int = 0
    errors: int = 0
    retries: int = 0
    given_up: int = 0
    reads: int = 0
    read_errors: int = 0
    gaps: int = 0
    statuses: Counter[str] = msgspec.field(default_factory=Counter)
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    sketches: dict[str, Sketch] = msgspec.field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.met + self.shed + self.errors

    def add(self, moment: Moment) -> None:
        self.planned += moment.planned
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(moment, name))
        for counter, more in (
            (self.statuses, moment.statuses),
            (self.faults, moment.faults),
            (self.kinds, moment.kinds),
        ):
            counter.update(more)
        for name, data in moment.sketches.items():
            self.sketches.setdefault(name, Sketch()).merge(Sketch.from_bytes(data))

    def quantile_ms(self, name: str, percent: float) -> float | None:
        """None when nothing of that name was measured."""
        sketch = self.sketches.get(name)
        value = sketch.quantile(percent) if sketch is not None else None
        return None if value is None else value / 1e6


class Collected:
    """Moments of any number of processes, merged: in all, by the second, and by the shape's step.

    Of a second that is over for good only its percentiles stay: a sketch of each would take 350 MB of a test
    of two hours.
    """

    def __init__(self) -> None:
        self.totals = Totals()
        self.steps: dict[int, Totals] = {}
        self.seconds: dict[int, Second] = {}
        self._recent: dict[int, Sketch] = {}

    def add(self, moments: Iterable[Moment], step: int = 0) -> None:
        for moment in moments:
            self.totals.add(moment)
            self.steps.setdefault(step, Totals()).add(moment)
            second = self.seconds.setdefault(moment.second, Second(second=moment.second))
            second.users = max(second.users, moment.users)
            second.planned += moment.planned
            second.met += moment.met
            second.shed += moment.shed
            second.errors += moment.errors
            if ACCEPTED in moment.sketches:
                self._refine(second, Sketch.from_bytes(moment.sketches[ACCEPTED]))

    def _refine(self, second: Second, more: Sketch) -> None:
        sketch = self._recent.setdefault(second.second, Sketch())
        sketch.merge(more)
        second.p50_ns, second.p95_ns, second.p99_ns = sketch.quantiles((5000, 9500, 9900))
        if len(self._recent) > limits.RECENT_S:
            del self._recent[min(self._recent)]

    def p95_ms(self, seconds: Iterable[int]) -> float | None:
        """Of some recent seconds together."""
        sketch = Sketch()
        for second in seconds:
            if second in self._recent:
                sketch.merge(self._recent[second])
        value_ns = sketch.quantile(95)
        return None if value_ns is None else value_ns / 1e6

    def ordered(self) -> list[Second]:
        return [self.seconds[second] for second in sorted(self.seconds)]
