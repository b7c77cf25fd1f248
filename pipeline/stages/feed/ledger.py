"""What the audit adds up to for the page: outcomes, denials, positions with their profit, throttles.

A few new rows are read once, for all that they tell. Of many only those in which something happened are read,
and the rest is counted by the database; a key's throttles come then from its last stored state and the rows
since, a few keys a turn: nobody else is held up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.errors import RinglineError
from pipeline.messages import Decision, Fate, Outcome, decode_decision, decode_event, decode_fills
from pipeline.stages.agent_state import StateReader
from pipeline.stages.story import utc
from pipeline.storage.audit.query import Filter, Query
from pipeline.storage.audit.reader import AuditReader
from pipeline.storage.audit.rows import AuditRow
from pipeline.trading.cores import reading_logic
from pipeline.trading.instruments import Instruments
from pipeline.trading.pnl import ProfitAndLoss, ProfitLine
from pipeline.trading.reasons import code_of
from pipeline.trading.state import State
from pipeline.web.view import BookView

HAPPENED = (Outcome.FILLED, Outcome.PLACED, Outcome.REJECTED)
"""The outcomes of rows that may have a fill or a refusal."""
SHOWN_HALTED = 20
Rows = dict[str, list[AuditRow]]
"""By key."""


class Scope(Struct, frozen=True):
    """What is known of one key's throttles."""

    payloads: tuple[dict[str, Any], ...]
    halted: bool


class Ledger:
    """`turn` reads on; belongs to one caller at a time."""

    def __init__(self, config: Config) -> None:
        self._logic = reading_logic(config.trading, config.exec)
        self._profit = ProfitAndLoss(Instruments(config.trading))
        self._states = StateReader(self._logic, config.audit.state_every)
        self._seq = self._counted = 0
        self._since = 1
        self._outcomes: dict[str, int] = {}
        self._denials: dict[str, int] = {}
        self._scopes: dict[str, Scope] = {}
        self._due: dict[str, None] = {}
        self._fault = ""

    @property
    def behind(self) -> bool:
        """Whether another turn would find more without a new row."""
        return self._seq < self._counted or bool(self._due)

    def turn(self, reader: AuditReader) -> BookView:
        """Reads a bounded part of what is new. Raises RinglineError when the audit cannot be read."""
        head = reader.head().seq
        if head < self._counted:  # another audit: a restored one
            self._forget()
        if not self._counted:
            self._since = reader.first()
        fresh: Rows = {}
        if self._counted and not self.behind and head - self._counted <= limits.BOOK_FRESH_ROWS:
            fresh = self._take(reader, head)
        else:
            self._count(reader, head)
            self._add(reader, head)
        self._look_at_keys(reader, fresh)
        return self._view(head)

    def _forget(self) -> None:
        self._profit = ProfitAndLoss(self._profit.instruments)
        self._states.forget()
        self._seq = self._counted = 0
        for table in (self._outcomes, self._denials, self._scopes, self._due):
            table.clear()

    def _take(self, reader: AuditReader, head: int) -> Rows:
        """All that is new, which is little, by key: what `_count` and `_add` do with three queries."""
        fresh: Rows = {}
        if head > self._counted:
            for row in reader.rows(after=self._counted, limit=head - self._counted):
                if row.seq <= head:  # later rows come where others were pruned
                    fresh.setdefault(row.delivery.key, []).append(row)
                    self._add_outcome(row.delivery.outcome, 1)
                    if row.delivery.outcome in HAPPENED:
                        self._add_row(row.delivery)
            self._due |= dict.fromkeys(sorted(fresh))
            self._seq = self._counted = head
        return fresh

    def _add_outcome(self, outcome: str, count: int) -> None:
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + count

    def _count(self, reader: AuditReader, head: int) -> None:
        if head > self._counted:
            for outcome, count in reader.outcomes_between(self._counted, head).items():
                self._add_outcome(outcome, count)
            self._due |= dict.fromkeys(sorted(reader.keys_between(self._counted, head)))
            self._counted = head

    def _add(self, reader: AuditReader, head: int) -> None:
        query = Query(Filter(outcomes=tuple(map(str, HAPPENED))), by_seq=True)
        found = reader.find(query, self._seq, limits.BOOK_ROWS)
        for row in found.rows:
            if row.seq <= head:  # what was written meanwhile is not counted yet
                self._add_row(row.delivery)
        self._seq = max(self._seq, min(found.place, head))

    def _add_row(self, row: Delivery) -> None:
        decision = decode_decision(row.decision) if row.decision else Decision()
        reasons = [reason for leg in decision.legs for reason in leg.reasons]
        for reason in [decision.rejected, *reasons] if decision.rejected else reasons:
            code = code_of(reason)
            self._denials[code] = self._denials.get(code, 0) + 1
        if row.fate == Fate.LIVE and row.fills:
            event = decode_event(row.payload)
            self._profit.add(row.key, event, decode_fills(row.fills), rejected=bool(decision.rejected))

    def _look_at_keys(self, reader: AuditReader, fresh: Rows) -> None:
        for key in list(self._due)[: limits.BOOK_KEYS]:
            del self._due[key]
            try:
                self._scopes[key] = self._scope(reader, key, fresh.get(key))
                self._fault = ""
            except (RinglineError, msgspec.MsgspecError, ValueError, KeyError) as error:
                self._fault = str(error) if key in str(error) else f"{key}: {error}"

    def _scope(self, reader: AuditReader, key: str, fresh: list[AuditRow] | None) -> Scope:
        state = self._states.read(reader, key, fresh)
        if state.close:
            self._profit.mark(key, state.close)
        return Scope(self._payloads(state), bool(state.halted))

    def _payloads(self, state: State) -> tuple[dict[str, Any], ...]:
        as_of = utc(state.clock_us)
        return tuple({"as_of": as_of} | payload for payload in self._logic.throttle_scopes(state))

    def _view(self, head: int) -> BookView:
        payloads = _newest_of_each(payload for scope in self._scopes.values() for payload in scope.payloads)
        payloads.sort(key=_urgency)
        halted = sorted(key for key, scope in self._scopes.items() if scope.halted)
        lines = self._profit.lines()
        return BookView(
            seq=self._seq,
            head=head,
            since=self._since,
            outcomes={str(outcome): self._outcomes.get(str(outcome), 0) for outcome in Outcome},
            denials=dict(sorted(self._denials.items(), key=lambda item: -item[1])),
            lines=tuple(msgspec.to_builtins(line) for line in _open_first(lines)),
            lines_left_out=max(0, len(lines) - limits.BOOK_LINES),
            throttles=tuple(payloads[: limits.BOOK_SCOPES]),
            throttles_left_out=max(0, len(payloads) - limits.BOOK_SCOPES),
            halted=tuple(halted[:SHOWN_HALTED]),
            halted_count=len(halted),
            keys=len(self._scopes),
            keys_due=len(self._due),
            fault=self._fault,
        )


def _open_first(lines: Sequence[ProfitLine]) -> Sequence[ProfitLine]:
    """As many as are sent, in their order: of too many those are left out that are closed."""
    if len(lines) <= limits.BOOK_LINES:
        return lines
    chosen = sorted(lines, key=lambda line: not Decimal(line.position))[: limits.BOOK_LINES]
    return sorted(chosen, key=lambda line: (line.strategy, line.symbol))


def _newest_of_each(payloads: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A scope that counts more than a key is known of each key that asked it: the last to ask knows best."""
    found: dict[tuple[str, str | None, str | None], dict[str, Any]] = {}
    for payload in payloads:
        scope = payload["scope"]
        name = (payload["name"], scope["strategy_id"], scope["symbol"])
        if name not in found or found[name]["as_of"] < payload["as_of"]:
            found[name] = payload
    return list(found.values())


def _urgency(payload: dict[str, Any]) -> tuple[bool, float, str, str]:
    """What holds first, then what is used most."""
    used = max(payload["window_utilisation"] or 0.0, payload["throttle_notional_utilisation"] or 0.0)
    scope = payload["scope"]
    return (payload["state"] == "open", -used, scope["symbol"] or "", scope["strategy_id"] or "")
