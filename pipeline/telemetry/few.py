"""Counts and gauges of a small batch, one by one: a dozen array operations cost more than a hundred entries.

What comes of it is what `Aggregate` makes of a large batch with arrays (`tests/unit/telemetry/test_few.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.telemetry.counters import CounterKey, Counters
from pipeline.telemetry.events import FIRST_FACT, LAST_FACT
from pipeline.telemetry.layout import (
    CORRELATION_MASK,
    CORRELATION_SHIFT,
    COUNT,
    DURATION,
    ENTRY_KINDS,
    EVENT_MASK,
    GAUGE,
    KIND_MASK,
    KIND_SHIFT,
)
from pipeline.telemetry.source import LAST_OWN_ID, Source
from pipeline.telemetry.windows import SLOT_NS

FEW = 256
"""Entries up to which one by one is cheaper, by a factor of two at a tenth of it."""
KeyOf = Callable[[Source, int, int], CounterKey | None]


class Group(NamedTuple):
    """Counts that are added up before they have a key, in the order in which keys are made."""

    slot: int
    owner: int
    event: int
    which: int


Rows = list[list[int]]
"""Entries, word by word."""
Part = tuple[Source, int, int]
"""The rows of one source: its first, and the one after its last."""


class Durations(NamedTuple):
    """Where calls of known events are in a batch, and whose they are among themselves."""

    places: list[int]
    spans: list[Part]


class Others(NamedTuple):
    """The rest of it."""

    rows: Rows
    spans: list[Part]


def sifted(rows: Rows, spans: Iterable[Part]) -> tuple[Durations, Others]:
    """A batch taken apart; sources that have nothing in one part are not in its spans."""
    durations, others = Durations([], []), Others([], [])
    for source, start, stop in spans:
        calls, facts = len(durations.places), len(others.rows)
        for place in range(start, stop):
            what = rows[place][2]
            if what >> KIND_SHIFT & KIND_MASK == DURATION and 1 <= what & EVENT_MASK <= limits.MAX_EVENT_ID:
                durations.places.append(place)
            else:
                others.rows.append(rows[place])
        if len(durations.places) > calls:
            durations.spans.append((source, calls, len(durations.places)))
        if len(others.rows) > facts:
            others.spans.append((source, facts, len(others.rows)))
    return durations, others


def fold_few(
    rows: Rows,
    spans: Iterable[Part],
    now_ns: int,
    counters: Counters,
    refused: Counter[str],
    key_of: KeyOf,
) -> None:
    """Add `rows`, which are no durations of known events; `spans` cover them."""
    sums: dict[Group, int] = {}
    sources: list[Source] = []
    for owner, (source, start, stop) in enumerate(spans):
        sources.append(source)
        for at_ns, value, what, _ in rows[start:stop]:
            kind, event = what >> KIND_SHIFT & KIND_MASK, _event(source, what & EVENT_MASK)
            if not _usable(kind, event, value, refused):
                continue
            at_ns, which = min(max(at_ns, 0), now_ns), what >> CORRELATION_SHIFT & CORRELATION_MASK
            if kind == COUNT:
                group = Group(at_ns // SLOT_NS, owner, event, which)
                sums[group] = sums.get(group, 0) + value
            elif kind == GAUGE and not source.set_gauge(event, which, at_ns, value):
                refused["too_many_gauges"] += 1
    if sums:
        _add(sums, sources, counters, refused, key_of)


def _event(source: Source, event: int) -> int:
    """With one id for each name, whatever its ring calls it. 0 is none."""
    if event > limits.MAX_EVENT_ID:
        return 0
    return event if source.own_ids is None else int(source.own_ids[event])


def _usable(kind: int, event: int, value: int, refused: Counter[str]) -> bool:
    known, in_range = kind in ENTRY_KINDS, 1 <= event <= LAST_OWN_ID
    sane = kind not in (DURATION, COUNT) or 0 <= value <= limits.MAX_DURATION_NS
    sane &= kind != GAUGE or not FIRST_FACT <= event <= LAST_FACT or 0 <= value <= limits.MAX_FACT
    if known and in_range and sane:
        return True
    refused.update(
        reason
        for reason, well in (
            ("unknown_kind", known),
            ("event_out_of_range", in_range),
            ("absurd_value", sane),
        )
        if not well
    )
    return False


def _add(
    sums: dict[Group, int],
    sources: list[Source],
    counters: Counters,
    refused: Counter[str],
    key_of: KeyOf,
) -> None:
    slots: dict[int, dict[int, int]] = {}
    for group in sorted(sums):
        key = key_of(sources[group.owner], group.event, group.which)
        index = None if key is None else counters.index_of(key)
        if index is None:
            refused["senseless_count" if key is None else "too_many_counters"] += 1
        else:
            slot = slots.setdefault(group.slot, {})
            slot[index] = slot.get(index, 0) + sums[group]
    for number, amounts in slots.items():
        indices = sorted(amounts)
        counters.add(
            number * SLOT_NS,
            np.array(indices, dtype=np.intp),
            np.array([amounts[index] for index in indices], dtype=np.int64),
        )
