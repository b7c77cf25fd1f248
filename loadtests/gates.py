"""The gates: facts go in, verdicts come out, each with a sentence that names value and limit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from loadtests.facts import Audited, Facts, ProcessFacts, StepFacts
from loadtests.knee import knee, why_not
from loadtests.settings import Gates
from loadtests.tally import ACCEPTED, Totals

Answer = Literal["met", "violated", "unknown"]
BYTES_A_MB = 1_000_000
SECONDS_AN_HOUR = 3600.0


class Verdict(Struct, frozen=True, kw_only=True):
    """One gate's answer. `unknown` fails nothing: it says what could not be told, and why."""

    name: str
    verdict: Answer
    sentence: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""


def judge(facts: Facts, gates: Gates) -> tuple[Verdict, ...]:
    """Every gate. Of a shape that looks for the knee, those of performance see the steps up to it; of one
    with a spike, what was before it and after it: a spike may be beyond what the pipeline can, and then has
    to lose nothing and be recovered from."""
    steps, beside = facts.steps, ""
    found: list[Verdict] = [_completed(facts)]
    if facts.shape.knee:
        last = knee(steps, gates)
        found.append(_knee(steps, last, gates))
        steps = steps[: max(1, last + 1)]
    elif facts.shape.spike_step >= 0:
        beside = _in_spike(steps, facts.shape.spike_step)
        steps = tuple(step for step in steps if step.index != facts.shape.spike_step)
    if facts.shape.knee or facts.shape.spike_step >= 0:
        met, planned = sum(step.met for step in steps), sum(step.planned for step in steps)
        errors, shed = sum(step.errors for step in steps), sum(step.shed for step in steps)
        p95_ms = max((step.p95_ms for step in steps if step.p95_ms is not None), default=None)
        ran_s = sum(step.duration_s for step in steps)
    else:
        met, planned, errors, shed = facts.met, facts.planned, facts.errors, facts.shed
        p95_ms, ran_s = facts.p95_ms, facts.ending.ran_s
    performance = [
        p95(p95_ms, gates),
        error_rate(errors, met + shed + errors, gates),
        _achieved(met, planned, gates),
        _throughput(met, planned, ran_s, gates),
    ]
    found += [replace(verdict, sentence=verdict.sentence + beside) for verdict in performance]
    found += _leaks(facts.processes, gates)
    if facts.shape.spike_step >= 0:
        found.append(_recovered(facts, gates))
    found.append(_drained(facts, gates))
    found += _audit(facts)
    found += _reading(facts, gates)
    return tuple(found)


def _in_spike(steps: Sequence[StepFacts], index: int) -> str:
    """What the spike itself was like, for people: no gate judges it."""
    spike = next((step for step in steps if step.index == index), None)
    if spike is None:
        return " Before the spike, which was not reached."
    p95_ms = "none accepted" if spike.p95_ms is None else f"p95 {spike.p95_ms:,.0f} ms"
    return (
        f" Before and after the spike; in it, for information: {p95_ms}, {spike.met:,} of "
        f"{spike.planned:,.0f} as expected, {spike.shed:,} shed, {spike.errors:,} errors."
    )


def alone(totals: Totals, gates: Gates) -> tuple[Verdict, ...]:
    """The gates that need nothing but the answers: for Locust run by itself."""
    found = [
        p95(totals.quantile_ms(ACCEPTED, 95), gates),
        error_rate(totals.errors, totals.answered, gates),
    ]
    if totals.planned:
        found.append(_achieved(totals.met, totals.planned, gates))
    return tuple(found)


def p95(value_ms: float | None, gates: Gates) -> Verdict:
    limit = gates.p95_ms
    if value_ms is None:
        return Verdict(
            name="p95", verdict="violated", sentence="No event was accepted.", limit=limit, unit="ms"
        )
    good = value_ms < limit
    sentence = (
        f"95 % of the accepted events were answered within {value_ms:,.1f} ms of when they were meant to go; "
        f"the limit is {limit:g} ms."
    )
    return Verdict(name="p95", verdict=_of(good), sentence=sentence, value=value_ms, limit=limit, unit="ms")


def error_rate(errors: int, answered: int, gates: Gates) -> Verdict:
    limit = gates.errors_percent
    if not answered:
        return Verdict(
            name="errors", verdict="violated", sentence="No request was sent.", limit=limit, unit="%"
        )
    value = 100 * errors / answered
    # None at all is fine also where the limit is none.
    good = value < limit or not errors
    sentence = f"{errors:,} of {answered:,} requests failed ({value:.3f} %); the limit is {limit:g} %."
    return Verdict(name="errors", verdict=_of(good), sentence=sentence, value=value, limit=limit, unit="%")


def _completed(facts: Facts) -> Verdict:
    ending = facts.ending
    if ending.fault:
        sentence = f"It ended after {ending.ran_s:,.1f} s of {facts.shape.duration_s:,.1f} s: {ending.fault}"
        return Verdict(name="completed", verdict="violated", sentence=sentence, value=ending.ran_s, unit="s")
    sentence = f"It ran to its end, {ending.ran_s:,.1f} s."
    return Verdict(name="completed", verdict="met", sentence=sentence, value=ending.ran_s, unit="s")


def _knee(steps: Sequence[StepFacts], last: int, gates: Gates) -> Verdict:
    if not steps:
        return Verdict(name="knee", verdict="violated", sentence="No step was measured.", unit="/s")
    if last < 0:
        sentence = f"The first step already missed: {why_not(steps[0], gates)}."
        return Verdict(name="knee", verdict="violated", sentence=sentence, unit="/s")
    step = steps[last]
    after = (
        f"the next step missed: {why_not(steps[last + 1], gates)}"
        if last + 1 < len(steps)
        else "no step missed"
    )
    sentence = (
        f"The knee is at {step.users} users, {step.met_per_s:,.0f} requests/s with p95 "
        f"{step.p95_ms:,.1f} ms; {after}."
    )
    return Verdict(name="knee", verdict="met", sentence=sentence, value=step.met_per_s, unit="/s")


def _achieved(met: int, planned: float, gates: Gates) -> Verdict:
    limit = gates.achieved_percent
    if planned <= 0:
        return Verdict(name="rate", verdict="violated", sentence="Nothing was planned to be sent.", unit="%")
    value = 100 * met / planned
    sentence = (
        f"{met:,} of {planned:,.0f} planned requests were sent and answered as expected ({value:.1f} %); "
        f"at least {limit:g} % must be."
    )
    return Verdict(
        name="rate", verdict=_of(value >= limit), sentence=sentence, value=value, limit=limit, unit="%"
    )


def _throughput(met: int, planned: float, ran_s: float, gates: Gates) -> Verdict:
    limit = gates.throughput_per_s
    per_s, planned_per_s = (met / ran_s, planned / ran_s) if ran_s else (0.0, 0.0)
    if planned_per_s <= limit:
        sentence = (
            f"{per_s:,.0f}/s; the gate is for plans of more than {limit:g}/s, not {planned_per_s:,.0f}/s."
        )
        return Verdict(
            name="throughput", verdict="unknown", sentence=sentence, value=per_s, limit=limit, unit="/s"
        )
    sentence = f"{per_s:,.0f} requests/s were answered as expected; more than {limit:g}/s must be."
    return Verdict(
        name="throughput", verdict=_of(per_s > limit), sentence=sentence, value=per_s, limit=limit, unit="/s"
    )


def _leaks(processes: Sequence[ProcessFacts], gates: Gates) -> Iterator[Verdict]:
    for process in processes:
        yield leak(process, gates)


def leak(process: ProcessFacts, gates: Gates) -> Verdict:
    """Met or violated only when the whole interval of the slope is on one side of the limit."""
    name, limit = f"leak {process.name}", gates.leak_mb_per_h
    if process.slope is None or process.judged_s < gates.leak_least_s:
        sentence = (
            f"{process.name}: too short to tell, {process.judged_s:,.0f} s after the warm-up; "
            f"an answer takes {gates.leak_least_s:,.0f} s."
        )
        return Verdict(name=name, verdict="unknown", sentence=sentence, limit=limit, unit="MB/h")
    value, low, high = (part * SECONDS_AN_HOUR / BYTES_A_MB for part in process.slope[:3])
    between = (
        f"{process.name} grew by {value:,.2f} MB/h (99 %: {low:,.2f} to {high:,.2f}); the limit is {limit:g}"
    )
    verdict: Answer = "met" if high < limit else "violated" if low >= limit else "unknown"
    ending = ", which is too wide to tell" if verdict == "unknown" else ""
    return Verdict(
        name=name, verdict=verdict, sentence=f"{between} MB/h{ending}.", value=value, limit=limit, unit="MB/h"
    )


def _recovered(facts: Facts, gates: Gates) -> Verdict:
    limit, value = gates.recover_s, facts.recovered_s
    if value is None:
        sentence = "After the spike the SLA was not met again."
        return Verdict(name="recovered", verdict="violated", sentence=sentence, limit=limit, unit="s")
    sentence = f"{value:,.0f} s after the spike's end the SLA was met again; the limit is {limit:g} s."
    return Verdict(
        name="recovered", verdict=_of(value <= limit), sentence=sentence, value=value, limit=limit, unit="s"
    )


def _drained(facts: Facts, gates: Gates) -> Verdict:
    limit, value = gates.drain_s, facts.drained_s
    if value is None:
        if not facts.drain_watched_s and not facts.expects_audit:
            sentence = "How much is not audited yet cannot be seen from here."
            return Verdict(name="drained", verdict="unknown", sentence=sentence, limit=limit, unit="s")
        sentence = f"{facts.drain_watched_s:,.1f} s after the last request not everything was audited."
        return Verdict(name="drained", verdict="violated", sentence=sentence, limit=limit, unit="s")
    sentence = f"Everything was audited {value:,.2f} s after the last request; the limit is {limit:g} s."
    return Verdict(
        name="drained", verdict=_of(value <= limit), sentence=sentence, value=value, limit=limit, unit="s"
    )


def _audit(facts: Facts) -> Iterator[Verdict]:
    audited = facts.audited
    if audited is None:
        verdict: Answer = "violated" if facts.expects_audit else "unknown"
        for name in (
            "accepted is audited",
            "journal is audited",
            "audited was sent",
            "duplicates",
            "audit verifies",
        ):
            yield Verdict(
                name=name, verdict=verdict, sentence=f"The audit was not read: {facts.audit_fault}."
            )
        return
    examples = f", such as {', '.join(audited.examples)}" if audited.examples else ""
    yield Verdict(
        name="accepted is audited",
        verdict=_of(not audited.lost),
        sentence=f"{audited.lost:,} of {audited.accepted:,} events answered 202 are not in the audit"
        f"{examples if audited.lost else ''}.",
        value=audited.lost,
        limit=0,
    )
    yield _journalled(audited)
    yield Verdict(
        name="audited was sent",
        verdict=_of(not audited.unsent),
        sentence=f"{audited.unsent:,} of {audited.rows:,} rows are of events that no honest user sent"
        f"{examples if audited.unsent else ''}.",
        value=audited.unsent,
        limit=0,
    )
    yield _duplicates(audited, examples)
    detail = f": {audited.detail}" if audited.detail else ""
    if audited.verifies is None:
        yield Verdict(name="audit verifies", verdict="unknown", sentence=f"Not verified{detail}.")
        return
    yield Verdict(
        name="audit verifies",
        verdict=_of(audited.verifies),
        sentence=f"{'Every row is' if audited.verifies else 'Not every row is'} as it was written{detail}.",
    )


def _journalled(audited: Audited) -> Verdict:
    name = "journal is audited"
    if audited.journalled is None or audited.all_rows is None:
        return Verdict(name=name, verdict="unknown", sentence="The gateway was restarted, or did not say.")
    return Verdict(
        name=name,
        verdict=_of(audited.journalled == audited.all_rows),
        sentence=f"{audited.journalled:,} events were journalled, {audited.all_rows:,} are in the audit.",
        value=audited.all_rows,
        limit=audited.journalled,
    )


def _duplicates(audited: Audited, examples: str) -> Verdict:
    if not audited.repeated and not audited.twice:
        sentence = "No event was sent twice, so nothing is known about duplicates."
        return Verdict(name="duplicates", verdict="unknown", sentence=sentence, limit=0)
    sentence = (
        f"{audited.repeated:,} events were sent more than once; {audited.twice:,} were executed twice"
        f"{examples if audited.twice else ''}."
    )
    return Verdict(
        name="duplicates", verdict=_of(not audited.twice), sentence=sentence, value=audited.twice, limit=0
    )


def _reading(facts: Facts, gates: Gates) -> Iterator[Verdict]:
    limit = gates.errors_percent
    if not facts.reads:
        sentence = "The audit's HTTP is not known here, so nobody read."
        yield Verdict(name="reads", verdict="unknown", sentence=sentence, limit=limit, unit="%")
        return
    value = 100 * facts.read_errors / facts.reads
    yield Verdict(
        name="reads",
        verdict=_of(value < limit or not facts.read_errors),
        sentence=f"{facts.read_errors:,} of {facts.reads:,} queries and frames failed ({value:.3f} %); "
        f"the limit is {limit:g} %.",
        value=value,
        limit=limit,
        unit="%",
    )
    yield Verdict(
        name="feed",
        verdict=_of(not facts.gaps),
        sentence=f"The reader of the feed missed {facts.gaps:,} rows.",
        value=facts.gaps,
        limit=0,
    )


def _of(good: bool) -> Answer:
    return "met" if good else "violated"
