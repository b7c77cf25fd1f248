"""One batch judged against the heads of its keys: the answers, the rows to store, the chain after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.delivery import Delivery, encode_delivery
from pipeline.storage.audit.chain import Link, link_hash
from pipeline.storage.audit.rows import StoredRow
from pipeline.storage.audit.store import Head, Judged, fits, head_of, without_surplus_states

Recorded = set[tuple[bytes, str]]
"""(event_id, key) that have a row and must get no second one."""


class Verdict(NamedTuple):
    """`answers` one a delivery, `rows` to be stored in this order, `chain` once they are."""

    answers: list[Judged]
    rows: list[StoredRow]
    chain: Link


def judge(
    batch: Sequence[Delivery],
    heads: dict[str, Head],
    load: Callable[[str], Head],
    chain: Link,
    state_every: int,
    recorded: Recorded | None = None,
) -> Verdict:
    """Judge `batch` in order; `heads` are moved on and have to be forgotten if the rows are not committed.

    `load` finds and keeps the head of a key that is not in `heads`. `recorded` None leaves it to the engine's
    unique index to find an event's second row of a key; the index only says that there is one.
    """
    seq, h = chain
    rows: list[StoredRow] = []
    answers: list[Judged] = []
    for delivery in batch:
        key = delivery.key
        head = heads.get(key) or load(key)
        if delivery.key_seq <= head.last:
            answers.append(Judged(True, head.last, head.event_id))
        elif fits(delivery, head) and (recorded is None or _first_time(delivery, recorded)):
            kept = without_surplus_states(delivery, state_every)
            body = encode_delivery(kept)
            seq += 1
            h = link_hash(seq, h, body)
            rows.append(StoredRow.of(seq, h, kept, body))
            heads[key] = head_of(delivery)
            answers.append(Judged(True, delivery.key_seq, delivery.event_id, True))
        else:
            answers.append(Judged(False, head.last, head.event_id))
    return Verdict(answers, rows, Link(seq, h))


def _first_time(delivery: Delivery, recorded: Recorded) -> bool:
    event = (delivery.event_id, delivery.key)
    if event in recorded:
        return False
    recorded.add(event)
    return True
