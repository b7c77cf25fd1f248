"""A small batch, entry by entry, comes to what arrays make of a large one, at once or in two parts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.telemetry import aggregate as large
from pipeline.telemetry.aggregate import Aggregate, Span
from pipeline.telemetry.events import EventID
from pipeline.telemetry.few import FEW
from pipeline.telemetry.layout import CORRELATION_MASK, CORRELATION_SHIFT, KIND_MASK, KIND_SHIFT
from pipeline.telemetry.reader import RingReader
from pipeline.telemetry.ring import memory_ring
from pipeline.telemetry.source import OwnEvents, Source
from pipeline.telemetry.windows import SLOT_NS

NOW_NS = 10**12
NAMES = ("gateway-0", "agent-0", "agent-1", "odd")

entries = st.tuples(
    st.integers(0, len(NAMES) - 1),
    st.sampled_from((NOW_NS, NOW_NS - SLOT_NS, NOW_NS - 7 * SLOT_NS, NOW_NS + 5, -3)),
    st.sampled_from((0, 1, 7, -1, limits.MAX_DURATION_NS, limits.MAX_DURATION_NS + 1, -(1 << 63), 1 << 61)),
    st.sampled_from(
        (
            EventID.HANDLED, EventID.FLOW_THROTTLED, EventID.OUTCOME, EventID.LAG, EventID.CPU, 0,
            limits.MAX_EVENT_ID, limits.MAX_EVENT_ID + 1, 4000,
        )
    ),
    st.integers(0, KIND_MASK),
    st.sampled_from((0, 1, 3, limits.MAX_ORDINAL, CORRELATION_MASK)),
)  # fmt: skip


def sources(named: bool) -> list[Source]:
    rings = [memory_ring(name, 64) for name in NAMES]
    found = [Source(RingReader(ring.memory, ring.identity)) for ring in rings]
    if named:
        own = np.arange(limits.MAX_EVENT_ID + 1, dtype=np.int64)
        own[int(EventID.HANDLED)] = OwnEvents().id_of("mine")
        found[1].own_ids = own
    return found


def outcome(rows: list[Any], named: bool, *, facts_first: bool = False) -> tuple[object, ...]:
    aggregate, ours = Aggregate(), sources(named)
    ordered = sorted(rows, key=lambda row: row[0])
    spans: list[Span] = []
    words: list[list[int]] = []
    for owner, source in enumerate(ours):
        of_it = [row for row in ordered if row[0] == owner]
        if of_it:
            spans.append(Span(source, len(words), len(words) + len(of_it)))
        for _, at_ns, value, event, kind, which in of_it:
            what = event | kind << KIND_SHIFT | which << CORRELATION_SHIFT
            words.append([at_ns, value, what - (1 << 64) if what >= 1 << 63 else what, 0])
    aggregate.advance(NOW_NS)
    batch: tuple[Any, Sequence[Span]] = np.array(words, dtype=np.int64), spans
    if facts_first:
        batch = aggregate.fold_facts(*batch, NOW_NS)
    if len(batch[0]):
        aggregate.fold(batch[0], [span for span in batch[1] if span.start < span.stop], NOW_NS)
    counters, latencies = aggregate.counters, aggregate.latencies
    return (
        aggregate.entries,
        {key: latencies.figures([series], 5) for key, series in latencies.series.items()},
        [source.last_sign_ns(NOW_NS) for source in ours],
        list(counters.totals()),
        {
            (key, window_s): counters.within(window_s, [key])
            for key, _ in counters.totals()
            for window_s in (1, 5)
        },
        Counter(aggregate.refused),
        [source.gauges for source in ours],
        [list(source.cpu) for source in ours],
    )


@given(st.lists(entries, min_size=1, max_size=40), st.booleans())
def test_one_by_one_is_what_arrays_make_of_it(rows: list[Any], named: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        few = outcome(rows, named)
        patch.setattr(large, "FEW", 0)
        assert few == outcome(rows, named)


@pytest.mark.parametrize("copies", [1, 300])
@pytest.mark.parametrize(
    ("event", "value", "refused"),
    [
        (EventID.DEPTH, -(1 << 63), True),
        (EventID.DEPTH, -1, True),
        (EventID.MEMORY, limits.MAX_FACT + 1, True),
        (EventID.MEMORY, limits.MAX_FACT, False),
        (EventID.QUEUE_BACKLOG, -1, False),
        (4000, -(1 << 63), False),
    ],
)
def test_a_worker_cannot_tell_of_itself_what_cannot_be(
    event: int, value: int, refused: bool, copies: int
) -> None:
    *_, reasons, gauges, _ = outcome([(0, NOW_NS, value, event, 3, 0)] * copies, False)
    assert reasons == ({"absurd_value": copies} if refused else {})
    assert gauges[0] == ({} if refused else {(event, 0): (NOW_NS, value)})  # type: ignore[index]


@given(st.lists(entries, min_size=1, max_size=40), st.booleans(), st.sampled_from((0, FEW)))
def test_counts_and_gauges_first_and_durations_later_are_all_at_once(
    rows: list[Any], named: bool, few: int
) -> None:
    rows.sort(key=lambda row: row[1])  # as in a ring: the last one is the newest sign of life
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "FEW", few)
        assert outcome(rows, named, facts_first=True) == outcome(rows, named)
