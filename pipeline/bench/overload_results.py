"""What an overload has shown, judged: pure, so that the rules can be tested without a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from pipeline import limits
from pipeline.bench.paced import Answers
from pipeline.figures import Result, at_least, at_most, exactly, shown

BACK_S = 5.0
REACHED = 0.98
"""Of the rate asked for: what a client on a busy machine sends is a little late."""
MB = 1_000_000


class Overload(Struct, frozen=True, kw_only=True):
    """One overload of one source."""

    name: str
    base: str
    """What there is too much for, and how much that takes."""
    base_per_s: float
    answers: Answers
    rest_bytes: dict[str, int]
    """PSS of each process before."""
    highest_bytes: dict[str, int]
    """The highest of each since."""
    normal_ms: float
    """p95 of requests before, in the worst window."""
    drain_s: float
    """What was accepted and not audited at the end, by the measured capacity."""
    normal_s: float | None
    """From the end until new requests were as before; None: they never were."""
    settled_s: float
    """From the end until all that was accepted was audited."""
    accepted: int
    rows: int


def results(found: Sequence[Overload], times: float, restarts: int) -> tuple[Result, ...]:
    rows = [row for one in found for row in _rows(one, times)]
    return (*rows, exactly("workers started again", restarts, "", 0, "none died of it"))


def _rows(one: Overload, times: float) -> Iterable[Result]:
    yield from _answered(one, times)
    drain = f"the journal's drain at measured capacity, {one.drain_s:.1f} s"
    before = f"p95 within {one.normal_ms:.1f} ms, after {drain}"
    beyond_s = _beyond(one.normal_s, one.drain_s)
    yield at_most(f"{one.name}: new requests as before", beyond_s, "s", BACK_S, before, BACK_S)
    beyond_s = _beyond(one.settled_s, one.drain_s)
    yield at_most(f"{one.name}: all audited", beyond_s, "s", BACK_S, f"after {drain}", BACK_S)
    yield exactly(f"{one.name}: audited", one.rows, "rows", one.accepted, "accepted so far")
    most = limits.OVERLOAD_MEMORY_BYTES / MB
    for process, rest in sorted(one.rest_bytes.items()):
        more = max(0, one.highest_bytes.get(process, rest) - rest) / MB
        at_rest = f"at rest, {rest / MB:.0f} MB"
        yield at_most(f"{one.name}: memory of {process} above rest", more, "MB", most, at_rest, rest / MB)


def _answered(one: Overload, times: float) -> Iterable[Result]:
    answers, name = one.answers, one.name
    statuses = answers.statuses
    offered = answers.sent / answers.elapsed_s if answers.elapsed_s else 0.0
    wanted = REACHED * times * one.base_per_s
    base = f"{one.base}, {one.base_per_s:.0f}/s"
    yield at_least(f"{name}: offered", offered, "events/s", wanted, base, one.base_per_s)
    for status, word in ((202, "accepted"), (429, "refused"), (503, "refused")):
        count = statuses.get(status, 0)
        yield shown(f"{name}: {word}, {status}", count, "requests", "sent", answers.sent)
    other = sum(count for status, count in statuses.items() if status not in (202, 429, 503))
    yield exactly(f"{name}: answered otherwise", other, "requests", 0, "a refusal is a 429 or a 503")
    unexplained = answers.unexplained
    yield exactly(f"{name}: refused without Retry-After", unexplained, "requests", 0, "every refusal has it")
    yield exactly(f"{name}: not answered", answers.lost, "requests", 0, "every request is answered")


def _beyond(after_s: float | None, drain_s: float) -> float | None:
    return None if after_s is None else max(0.0, after_s - drain_s)
