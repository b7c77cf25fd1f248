"""The agent's state of a key: the last that was stored, and the rows since applied to it. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline import limits
from pipeline.delivery import Delivery
from pipeline.errors import UsageError
from pipeline.messages import decode_decision, decode_event
from pipeline.storage.audit import AuditReader, AuditRow
from pipeline.trading.agent import AgentLogic
from pipeline.trading.state import State


def applied(logic: AgentLogic, state: State, rows: Iterable[Delivery]) -> State:
    """The state after `rows`, which follow the one that `state` was taken at."""
    for row in rows:
        if row.live:
            event, decision = decode_event(row.payload), decode_decision(row.decision)
            state = logic.apply(state, event, decision, key_seq=row.key_seq, at_us=row.accepted_us)
    return state


class StateReader:
    """The states that an audit's rows add up to, where one row of a key in `every` carries it.

    It remembers the states of `limits.BOOK_STATES` keys: of a key that it knows only the rows since are read.
    """

    def __init__(self, logic: AgentLogic, every: int) -> None:
        self._logic = logic
        self._every = every
        self._known: dict[str, tuple[int, State]] = {}

    def read(self, reader: AuditReader, key: str, fresh: Sequence[AuditRow] | None = None) -> State:
        """`fresh`: all rows of `key` since it was asked for last, perhaps with some before, where at hand.
        Raises UsageError where the rows were decided by another configuration."""
        seq, state = self._known.pop(key, (0, None))
        rows: Sequence[AuditRow] = ()
        if state is not None and fresh is not None:
            rows = [row for row in fresh if row.seq > seq]
        elif state is not None:
            rows = reader.rows(key=key, after=seq, limit=self._every)
        if state is None or len(rows) >= self._every:  # there may be more, and a stored state among them
            rows = reader.rows(key=key, limit=self._every, newest_first=True)[::-1]
            state = None
        self._check(key, rows)
        deliveries = [row.delivery for row in rows]
        if state is None:
            begun = next(
                (place for place in reversed(range(len(rows))) if deliveries[place].agent_state), None
            )
            state = self._logic.origin(key)
            if begun is not None:
                state, deliveries = self._logic.decode(deliveries[begun].agent_state), deliveries[begun + 1 :]
        state = applied(self._logic, state, deliveries)
        self._remember(key, rows[-1].seq if rows else seq, state)
        return state

    def forget(self) -> None:
        """For another audit than the last one."""
        self._known.clear()

    def _check(self, key: str, rows: Sequence[AuditRow]) -> None:
        code = rows[-1].delivery.code if rows else ""
        if code and code != self._logic.code:
            raise UsageError(
                f"{key}: the pipeline decides as {code}, this configuration as {self._logic.code}; "
                "give the one it runs with (--config, --set)"
            )

    def _remember(self, key: str, seq: int, state: State) -> None:
        if len(self._known) >= limits.BOOK_STATES:
            del self._known[next(iter(self._known))]  # the one that was asked for longest ago
        self._known[key] = (seq, state)
