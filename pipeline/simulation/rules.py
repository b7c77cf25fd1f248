"""The product's code with one rule taken out. Each must make seeds fail, or the checks prove nothing.

Only for the simulation and its tests: a rule is removed by replacing one method for as long as a block runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from pipeline.delivery import Delivery
from pipeline.simulation import journal_rules
from pipeline.simulation.gateway import Gateway
from pipeline.simulation.journal_rules import Change
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.gateway.desk import Desk
from pipeline.storage.audit import memory as memory_store
from pipeline.storage.audit.store import Head
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.downlinks import Downlink, Downlinks
from pipeline.transport.uplinks import Uplink, Uplinks
from pipeline.transport.worker import Worker


def _refuse_without_telling() -> list[Change]:
    def refused(self: Any, key: str) -> None:
        self._prune(key)
        self._drop(key)

    return [(Worker, "_refused", refused)]


def _confirm_from_memory() -> list[Change]:
    original = Worker._take

    def take(self: Any, held: Any, work: Any, *, asked: bool) -> None:
        if work.delivery.key_seq <= held.position:
            self._settle_up(work.delivery.key, work.delivery.key_seq, b"")
        else:
            original(self, held, work, asked=asked)

    return [(Worker, "_take", take)]


def _step_on_any_digest() -> list[Change]:
    def fits(delivery: Delivery, head: Head) -> bool:
        return delivery.key_seq == head.last + 1

    return [
        (ExecSteps, "fits", lambda *_: True),
        (memory_store, "fits", fits),
    ]


def _ignore_gaps() -> list[Change]:
    unnoticed = staticmethod(lambda *_: False)
    return [(Uplinks, "_lost", unnoticed), (Downlinks, "_lost", unnoticed)]


def _credit_at_done() -> list[Change]:
    def free(self: Downlink) -> int:
        return self.credit - sum(not flight.done for flight in self.flights.values())

    return [(Downlink, "free", property(free))]


def _keep_old_sessions() -> list[Change]:
    original = Uplinks.close

    def close(self: Any, link: Uplink) -> None:
        held = link.table
        original(self, link)
        link.closed = False
        link.table = held

    return [(Uplinks, "close", close)]


def _forget_what_a_dead_link_had() -> list[Change]:
    def bury(self: Any, link: Downlink) -> None:
        if self._links.get(link.ordinal) is link:
            del self._links[link.ordinal]
        self._outbox.close(link.target)
        self._changed()
        self._on_change()

    return [(Downlinks, "_bury", bury)]


def _dispatch_before_sync() -> list[Change]:
    def when_synced(self: Any, action: Callable[[], None]) -> None:
        original(self, lambda: None)
        action()

    original = Gateway._when_synced
    return [(Gateway, "_when_synced", when_synced), (Gateway, "_must_be_synced", lambda *_: None)]


def _restart_forgets_dispatch() -> list[Change]:
    original = Desk._enqueue

    def enqueue(self: Any, delivery: Delivery, *, dispatched: bool) -> None:
        original(self, delivery, dispatched=False)

    return [(Desk, "_enqueue", enqueue)]


def _dead_letters_leave_their_place() -> list[Change]:
    def fated(self: Any, key: str, key_seq: int, fate: Any) -> None:
        line = self._lines.get(key)
        if line is not None and line.pending(key_seq) is not None:
            while line.first <= key_seq:
                line.line.popleft()
                line.first += 1
                self._unsettled -= 1
            line.awaiting_fate = 0
            line.next = line.first
            self._queue(key, line)

    return [(Dispatcher, "fated", fated)]


def _new_keys_inherit_nothing() -> list[Change]:
    return [(Gateway, "_births", staticmethod(lambda _event: {}))]


def _land_regardless_of_upto() -> list[Change]:
    original = Downlink.land

    def land(self: Downlink, key: str, last: int | None, upto: int) -> None:
        original(self, key, last, 1 << 62)

    return [(Downlink, "land", land)]


def _audit_takes_any_x() -> list[Change]:
    def fits(delivery: Delivery, head: Head) -> bool:
        return delivery.key_seq == head.last + 1 and delivery.a_prev == head.a

    return [(memory_store, "fits", fits)]


class Rule(NamedTuple):
    """What the rule says, and how it is taken out. `hard`: its absence shows in hard plans only."""

    meaning: str
    changes: Callable[[], list[Change]]
    hard: bool = False


RULES: dict[str, Rule] = {
    "tell-refusals": Rule("refusals travel up to the gateway, hop by hop", _refuse_without_telling),
    "ask-audit": Rule("a worker never confirms from its own memory", _confirm_from_memory),
    "digests": Rule("a row builds on the recorded digests", _step_on_any_digest, hard=True),
    "audit-x": Rule(
        "the audit itself compares the digest that a row's fills build on", _audit_takes_any_x, hard=True
    ),
    "gaps": Rule("a gap in a link's sequence ends the session", _ignore_gaps),
    "credit": Rule("credit returns at settled or refused, never at done", _credit_at_done),
    "new-session": Rule(
        "a new session cancels the old one's queue and outputs", _keep_old_sessions, hard=True
    ),
    "dead-link": Rule("what was in flight on a dead link is refused", _forget_what_a_dead_link_had),
    "synced": Rule("nothing is dispatched before it is synced", _dispatch_before_sync),
    "restart": Rule("after a restart everything unsettled counts as dispatched", _restart_forgets_dispatch),
    "tombstone": Rule("a dead letter keeps its place in its key", _dead_letters_leave_their_place),
    "inherit": Rule("a key begins under the control state in force", _new_keys_inherit_nothing),
    "upto": Rule("an answer covers only what its sender had seen", _land_regardless_of_upto, hard=True),
    "deaths": Rule("only distinct deaths count", journal_rules.every_word_of_a_death_is_a_death),
    "controls": Rule("a control event is never given up", journal_rules.controls_end_as_events_do),
    "counters": Rule(
        "freed segments leave the counters of their keys", journal_rules.counters_are_not_carried
    ),
    "identities": Rule("freed segments leave what answers repeats", journal_rules.identities_are_not_carried),
    "fates": Rule("freed segments leave the fates of what is unsettled", journal_rules.fates_are_not_carried),
    "control-state": Rule(
        "freed segments leave the control state", journal_rules.control_state_is_not_carried
    ),
    "accept-time": Rule(
        "freed segments leave the last accept time", journal_rules.accept_time_is_not_carried
    ),
    "unlink": Rule(
        "a segment goes when what was carried is synced",
        journal_rules.segments_go_before_their_copies_are_synced,
    ),
    "rewrite": Rule(
        "after a failed sync all is written again", journal_rules.a_sync_is_believed_after_one_failed
    ),
}


@contextmanager
def without(rule: str | None) -> Iterator[None]:
    """Runs a block with `rule` taken out of the code; None leaves all in."""
    with ExitStack() as stack:
        if rule is not None:
            for owner, attribute, replacement in RULES[rule].changes():
                stack.enter_context(patch.object(owner, attribute, replacement))
        yield
