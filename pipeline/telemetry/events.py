"""What is measured: the ids of latencies, and of the facts that workers report about themselves.

Ids are part of the ring's format: they never change, new ones are appended. 1 to 31 are latencies of the
product, 32 to 63 facts of its workers, from 1024 on users have their own.
"""

from __future__ import annotations

import functools
from enum import IntEnum

from pipeline import limits

STAGES = ("gateway", "agent", "exec", "audit")
"""In flow order."""
NEXT_STAGE = {"gateway": "agent", "agent": "exec", "exec": "audit"}
"""Who a stage sends to; LAG, CREDIT and FLOW_THROTTLED are written by the sender about the next stage."""
FIRST_FACT, LAST_FACT = 32, 63
FIRST_USER_EVENT = 1024
GONE = "(gone)"
"""In the place of a stage or worker: all that are gone and not told apart any more (see `gone`)."""
OTHER_EVENT = limits.MAX_EVENT_ID + limits.MAX_NAMED_EVENTS + 1
"""In the place of an event: those that are not told apart any more."""


class EventID(IntEnum):
    """Everything a ring entry may be about."""

    CANDLE_PROCESSING = 1
    SIGNAL_GENERATION = 2
    ORDER_PLACEMENT = 3
    ORDER_FILL = 4
    EVENT_BUS_PUBLISH = 5
    EVENT_BUS_HANDLE = 6
    QUEUE_BACKLOG = 7
    GC_PAUSE = 8

    # The golden path, webhook to audit.
    GATEWAY_RECEIVE = 9
    SIGNATURE_CHECK = 10
    IDEMPOTENCY_CHECK = 11
    JOURNAL_WRITE = 12
    GATEWAY_PUBLISH = 13
    AGENT_CONSUME = 14
    AGENT_DECISION = 15
    AGENT_PUBLISH = 16
    EXEC_CONSUME = 17
    FILL_GENERATION = 18
    FILL_PUBLISH = 19
    AUDIT_WRITE = 20
    END_TO_END = 21
    """Accept to settled, timed by the gateway."""
    EVENT_LOOP_LAG = 22

    # Facts of a worker: COUNT or GAUGE entries.
    LAG = 32
    """GAUGE, ns, by the sender; correlation = downstream ordinal."""
    DEPTH = 33
    """GAUGE, messages in the worker's own queue."""
    BLOCKED = 34
    """COUNT, ns with output and no credit for it."""
    HANDLED = 35
    """COUNT, messages whose own work is done."""
    FLOW_THROTTLED = 36
    """COUNT, messages that waited for credit, by the sender; correlation = downstream ordinal."""
    TRADE_THROTTLED = 37
    """COUNT, orders refused by a risk limit."""
    SHED = 38
    """COUNT, refused for lack of capacity."""
    CPU = 39
    """GAUGE, ns of processor time since the process started."""
    MEMORY = 40
    """GAUGE, bytes: proportional set size where the kernel tells it, else resident."""
    CREDIT = 41
    """GAUGE, messages, by the sender; correlation = downstream ordinal."""
    OUTCOME = 42
    """COUNT, rows; correlation = index in list(outcome.Outcome)."""
    DUPLICATE = 43
    """COUNT, repeats answered from the journal."""
    MALFORMED = 44
    """COUNT, frames that were no message of ours."""
    STRANGER = 45
    """COUNT, peers that were turned away in the handshake of a link."""


_UNNAMED = "EVENT_"
_OURS = frozenset(map(int, EventID))
_NAMES = {int(event): event.name for event in EventID} | {OTHER_EVENT: "(others)"}


def known_event(name: str) -> int | None:
    """The id that `event_name` tells by this name although nobody registered it; None when there is none."""
    if name in EventID.__members__:
        return int(EventID[name])
    if name == _NAMES[OTHER_EVENT]:
        return OTHER_EVENT
    digits = name.removeprefix(_UNNAMED)
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(limits.MAX_EVENT_ID)):
        event_id = int(digits)
        if name == f"{_UNNAMED}{event_id}" and event_id <= limits.MAX_EVENT_ID and event_id not in _OURS:
            return event_id
    return None


def name_event(event_id: int, name: str) -> None:
    """Let `event_name` know an event that is none of ours."""
    _NAMES[event_id] = name


def event_name(event_id: int) -> str:
    """The name of an event, also of one this version does not know."""
    return _NAMES.get(event_id) or f"{_UNNAMED}{event_id}"


def name_in_rings(event_id: int) -> str:
    """The same for who reads others' rings: own events that they name have ids beyond theirs there, and what
    this process calls an id says nothing about theirs."""
    if FIRST_USER_EVENT <= event_id <= limits.MAX_EVENT_ID:
        return f"{_UNNAMED}{event_id}"
    return event_name(event_id)


def gone_of(worker: str) -> str:
    """Where the counters of a gone worker are added up: `agent-7` → `agent (gone)`."""
    return f"{split_worker(worker)[0]} {GONE}"


@functools.lru_cache(maxsize=8192)
def split_worker(name: str) -> tuple[str, int]:
    """`agent-0` → ("agent", 0); a name without an ordinal is a stage of its own with ordinal 0."""
    if name.endswith(f" {GONE}"):
        return name.removesuffix(f" {GONE}"), 0
    stage, dash, ordinal = name.rpartition("-")
    if dash and stage and ordinal.isascii() and ordinal.isdigit() and len(ordinal) <= 9:
        return stage, int(ordinal)
    return name, 0
