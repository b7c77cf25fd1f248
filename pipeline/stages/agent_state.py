"""The agent's state of a key: the last that was stored, and the rows since applied to it. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.delivery import Delivery
from pipeline.errors import UsageError
from pipeline.messages import decode_decision, decode_event
from pipeline.storage.audit import AuditReader
from pipeline.trading.agent import AgentLogic
from pipeline.trading.state import State


def rebuilt(logic: AgentLogic, key: str, stored: bytes, rows: Iterable[Delivery]) -> State:
    """The state after `rows`, which follow the one in `stored`; without it `rows` are all of `key`."""
    state = logic.decode(stored) if stored else logic.origin(key)
    for row in rows:
        if row.live:
            event, decision = decode_event(row.payload), decode_decision(row.decision)
            state = logic.apply(state, event, decision, key_seq=row.key_seq, at_us=row.accepted_us)
    return state


def read_state(reader: AuditReader, logic: AgentLogic, key: str, every: int) -> State:
    """The state that the audit's rows of `key` add up to, where one in `every` carries it.

    Raises UsageError where they were decided by another configuration than `logic`'s.
    """
    newest = reader.rows(key=key, limit=every, newest_first=True)
    rows = [row.delivery for row in reversed(newest)]
    if rows and rows[-1].code and rows[-1].code != logic.code:
        raise UsageError(
            f"{key}: the pipeline decides as {rows[-1].code}, this configuration as {logic.code}; "
            "give the one it runs with (--config, --set)"
        )
    begun = next((index for index in reversed(range(len(rows))) if rows[index].agent_state), None)
    if begun is None:
        return rebuilt(logic, key, b"", rows)
    return rebuilt(logic, key, rows[begun].agent_state, rows[begun + 1 :])
