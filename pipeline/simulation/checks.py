"""What must hold: at every row, at every settled event, at every turn, and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import le

from pipeline.clock import US_PER_S
from pipeline.delivery import ORIGIN, Delivery, agent_digest, exec_digest
from pipeline.messages import (
    Action,
    Control,
    Fate,
    Outcome,
    Verdict,
    decode_decision,
    decode_event,
    decode_fills,
    encode,
)
from pipeline.simulation.clients import Clients
from pipeline.simulation.ledger import Ledger
from pipeline.simulation.plan import Plan
from pipeline.simulation.story import ViolationError
from pipeline.storage.audit import MemoryAuditStore
from pipeline.storage.audit.store import AuditFullError, Judged
from pipeline.storage.audit.verify import verify_rows
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import ExecLogic
from pipeline.transport.memory import MemoryNetwork
from pipeline.transport.worker import Worker


class WatchedStore(MemoryAuditStore):
    """The audit store, and beside it what every event's row has to be: one a key, in order."""

    def __init__(self, state_every: int) -> None:
        super().__init__(state_every)
        self.by_key: dict[str, list[Delivery]] = {}
        self.full = False

    def append(self, batch: Sequence[Delivery]) -> list[Judged]:
        if self.full:
            raise AuditFullError("simulated")
        judged = super().append(batch)
        for delivery, word in zip(batch, judged, strict=True):
            if word.appended:
                rows = self.by_key.setdefault(delivery.key, [])
                if delivery.key_seq != len(rows) + 1:
                    raise ViolationError(
                        f"{delivery.key}: row {len(rows) + 1} has key_seq {delivery.key_seq}"
                    )
                rows.append(_copy(delivery))
        return judged


def agents_of(plan: Plan) -> list[AgentLogic]:
    """Every version of the agents' code that runs in a plan."""
    return [AgentLogic(trading, plan.config.exec.fill_policy) for trading in plan.versions]


def execs_of(plan: Plan) -> list[ExecLogic]:
    """Every version of the execs' code that runs in a plan."""
    return [ExecLogic(plan.config.trading, section) for section in plan.exec_versions]


def _copy(delivery: Delivery) -> Delivery:
    return Delivery(**{name: getattr(delivery, name) for name in delivery.__struct_fields__})


def check_settled(store: WatchedStore, delivery: Delivery) -> None:
    """What the gateway takes for settled has a row, and it is that event's."""
    rows = store.by_key.get(delivery.key, ())
    if len(rows) < delivery.key_seq or rows[delivery.key_seq - 1].event_id != delivery.event_id:
        raise ViolationError(
            f"{delivery.key}:{delivery.key_seq} is settled, but the audit has no row of that event"
        )


def check_queues(plan: Plan, network: MemoryNetwork) -> None:
    """No queue holds more than the credit of those who send to it."""
    for node in network.nodes():
        if not isinstance(node, Worker):
            continue
        statistics = node.statistics()
        if statistics.fullest_link > plan.timing.credit:
            raise ViolationError(
                f"{node.name} holds {statistics.fullest_link} messages of a link: over credit"
            )
        if statistics.outputs > statistics.received:
            raise ViolationError(f"{node.name} has more outputs than messages")


def check_end(plan: Plan, store: WatchedStore, clients: Clients, ledger: Ledger) -> None:
    """202s ⊆ audited exactly once ⊆ sent, every row is the step of the one before, the chain is whole."""
    report = verify_rows(store.rows)
    if not report.ok:
        raise ViolationError(f"the chain does not verify: {report.detail}")
    retention_us = plan.config.journal.retention_s * US_PER_S
    seen: dict[tuple[str, str], int] = {}
    for key, rows in store.by_key.items():
        _check_steps(plan, key, rows, ledger)
        for row in rows:
            if row.webhook_id not in clients.sent:
                raise ViolationError(f"{key}:{row.key_seq} was never sent")
            place = (key, row.webhook_id)
            if row.accepted_us - seen.get(place, -retention_us) < retention_us and not _is_control(row):
                raise ViolationError(f"{row.webhook_id} has two rows in {key}")
            seen[place] = row.accepted_us
    audited = {webhook_id for _, webhook_id in seen}
    if missing := clients.answered - audited - _controls_without_keys(clients):
        raise ViolationError(f"answered 202 and not audited: {sorted(missing)[:3]}")
    _check_halts(store)


def _check_fate(key: str, row: Delivery, journalled: Fate) -> None:
    """An event expires in the journal and in its row, or in neither. A dead letter may have a live row: it
    was given up after it had been committed, and the row decides what happened; never the reverse."""
    expired = (row.fate == Fate.EXPIRED, journalled == Fate.EXPIRED)
    if expired[0] != expired[1] or (row.fate == Fate.DEAD_LETTERED and journalled != Fate.DEAD_LETTERED):
        raise ViolationError(f"{key}:{row.key_seq}: journal and row differ on how it ended")


def _check_way(key: str, row: Delivery) -> None:
    """No step was before the one it follows, also where some were done again. The gateway's clock, which is
    wrong at times, is left out."""
    times_us = (row.decided_us, row.executed_us, row.audited_us)
    if not all(map(le, times_us, times_us[1:])):
        raise ViolationError(f"{key}:{row.key_seq}: its steps were at {times_us}")


def _is_control(row: Delivery) -> bool:
    return isinstance(decode_event(row.payload), Control)


def _controls_without_keys(clients: Clients) -> set[str]:
    """A control event accepted before any key was seen has nothing to be a row of."""
    return {name for name, item in clients.sent.items() if isinstance(item.event, Control)}


def _check_steps(plan: Plan, key: str, rows: Sequence[Delivery], ledger: Ledger) -> None:
    """Decides the whole key anew, from nothing: everything recorded must be what comes out.

    Where another version of the code took over, the state goes the way it went: by its stored form.
    """
    versions = {agent.code: agent for agent in agents_of(plan)}
    agent = next(iter(versions.values()))
    execs = execs_of(plan)
    state, held = agent.origin(key), execs[0].origin(key)
    a = x = ORIGIN
    for row in rows:
        if row.code != agent.code:
            state = versions[row.code].decode(agent.encode(state))
            agent = versions[row.code]
        _check_fate(key, row, ledger.fate(key, row.key_seq))
        _check_way(key, row)
        decision = fills = b""
        if row.live:
            event = decode_event(row.payload)
            state, decided = agent.step(state, event, key_seq=row.key_seq, at_us=row.accepted_us)
            decision = encode(decided)
            for each in execs:  # a row does not say which of them it was
                after, filled = each.step(held, event, decided, key_seq=row.key_seq)
                fills = encode(filled)
                if fills == row.fills:
                    break
            held = after
        a = agent_digest(a, row.key_seq, row.fate, row.payload, decision)
        x = exec_digest(x, row.key_seq, a, fills)
        if (row.decision, row.fills, row.a, row.x) != (decision, fills, a, x):
            raise ViolationError(f"{key}:{row.key_seq} forked: not the step of the recorded state")
        if row.agent_state and row.agent_state != agent.encode(state):
            raise ViolationError(f"{key}:{row.key_seq}: the stored agent state is not the rebuilt one")
        if row.exec_state and row.exec_state != execs[0].encode(held):
            raise ViolationError(f"{key}:{row.key_seq}: the stored exec state is not the rebuilt one")


def _check_halts(store: WatchedStore) -> None:
    """After an accepted halt no key enters until a resume, also a key that is first seen after it."""
    controls: dict[int, str] = {}
    for rows in store.by_key.values():
        for row in rows:
            event = decode_event(row.payload)
            if isinstance(event, Control):
                controls[row.accepted_us] = event.action
    for key, rows in store.by_key.items():
        _check_birth(key, rows[0], controls)
        halted = False
        for row in rows:
            event = decode_event(row.payload)
            if isinstance(event, Control):
                halted = event.action != Action.RESUME
            elif halted and row.live and _enters(row):
                raise ViolationError(f"{key}:{row.key_seq} entered after an accepted halt")


def _check_birth(key: str, first: Delivery, controls: Mapping[int, str]) -> None:
    """A key begins under the control state in force. (At the very moment of a control nobody can tell.)"""
    before = [at_us for at_us in controls if at_us < first.accepted_us]
    if not before or first.accepted_us in controls:
        return
    if controls[max(before)] != Action.RESUME and not _is_control(first):
        raise ViolationError(f"{key} was first seen after a halt and does not begin halted")


def _enters(row: Delivery) -> bool:
    legs = decode_decision(row.decision).legs
    return any(leg.verdict == Verdict.ORDERED and leg.intent == "entry" for leg in legs)


def count_rows(store: WatchedStore) -> dict[str, int]:
    """What the rows of a run were, so that a run in which nothing happens is seen."""
    counts = {"rows": len(store.rows), "fills": 0, "denied": 0}
    for rows in store.by_key.values():
        for row in rows:
            if not row.live:
                counts[Outcome(row.outcome).value] = counts.get(Outcome(row.outcome).value, 0) + 1
                continue
            counts["fills"] += len(decode_fills(row.fills).fills)
            counts["denied"] += sum(
                leg.verdict == Verdict.DENIED for leg in decode_decision(row.decision).legs
            )
    return counts
