"""The agent, exec and audit processes: each joins its node, its sockets and its telemetry, and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.messages import Outcome, decode_decision, decode_fills
from pipeline.stages.agent_steps import AgentSteps
from pipeline.stages.context import REPORT_EVERY_NS, Context, Stop
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.meter import LinkMeter
from pipeline.storage.audit import SqliteAuditStore
from pipeline.storage.audit.store import AuditStore, Judged
from pipeline.storage.in_hand import InHand
from pipeline.telemetry.events import EventID
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import ExecLogic, partial_fills
from pipeline.trading.outcome import outcome
from pipeline.transport.judge import Judge
from pipeline.transport.loop import Loop
from pipeline.transport.members import endpoint, local_members
from pipeline.transport.sockets import Sockets
from pipeline.transport.steps import Steps
from pipeline.transport.worker import Worker

Ready = Callable[[], None]
OUTCOME_INDEX = {name: index for index, name in enumerate(Outcome)}


def run_agent(ordinal: int, config: Config, ready: Ready, stop: Stop) -> int:
    """An agent until it is asked to leave. Raises MissingError when its port cannot be had."""
    context = Context("agent", ordinal, config)
    meter = context.link_meter(EventID.AGENT_CONSUME, EventID.AGENT_PUBLISH)
    logic = AgentLogic(
        config.trading,
        config.exec.fill_policy,
        partial_fills=partial_fills(config.exec),
    )
    steps = AgentSteps(logic, config.audit.state_every, context.recorder, meter)
    return _run_worker(context, ordinal, "exec", steps, meter, ready, stop)


def run_exec(ordinal: int, config: Config, ready: Ready, stop: Stop) -> int:
    """An exec until it is asked to leave. Raises MissingError when its port cannot be had."""
    context = Context("exec", ordinal, config)
    meter = context.link_meter(EventID.EXEC_CONSUME, EventID.FILL_PUBLISH)
    logic = ExecLogic(config.trading, config.exec)
    steps = ExecSteps(logic, config.audit.state_every, context.recorder)
    return _run_worker(context, ordinal, "audit", steps, meter, ready, stop)


def _run_worker(
    context: Context, ordinal: int, following: str, steps: Steps, meter: LinkMeter, ready: Ready, stop: Stop
) -> int:
    config = context.config
    own = config.agent if following == "exec" else config.exec
    downstream = local_members(config.exec if following == "exec" else config.audit)
    audits = local_members(config.audit)
    hand = context.in_hand()
    worker = Worker(
        context.name, following, context.boot, steps, context.timing,
        max_keys=own.max_keys, died_in_hand=hand.died[:2] if hand.died else None, hand=hand,
        meter=meter, clock_ns=context.clock.monotonic_ns,
    )  # fmt: skip
    sockets = Sockets(
        context.name, context.boot, bind=endpoint(own.host, own.port, ordinal),
        downstream=downstream, audits=audits,
    )  # fmt: skip
    loop = Loop(
        worker, sockets, context.clock, stop, context.timing, meter,
        drain_s=config.supervisor.drain_s, downstream=worker, members=(downstream, audits),
        every=(REPORT_EVERY_NS, context.reporter(worker, meter)),
    )  # fmt: skip
    ready()
    try:
        loop.run()
    finally:
        sockets.close()
        hand.close()
        context.recorder.close()
    return 0


def run_audit(ordinal: int, config: Config, ready: Ready, stop: Stop) -> int:
    """An audit until it is asked to leave. Raises MissingError or DamagedError when it cannot start."""
    context = Context("audit", ordinal, config)
    meter = context.link_meter()
    hand = context.in_hand()
    store = SqliteAuditStore.open(context.data_dir / "audit.sqlite", config.audit.state_every)
    judge = Judge(
        context.name, context.boot, Appender(store, hand, context).append, store.tail, context.timing,
        batch=config.audit.batch, died_in_hand=hand.died[:2] if hand.died else None, meter=meter,
    )  # fmt: skip
    sockets = Sockets(
        context.name, context.boot, bind=endpoint(config.audit.host, config.audit.port, ordinal)
    )
    loop = Loop(
        judge, sockets, context.clock, stop, context.timing, meter,
        drain_s=config.supervisor.drain_s, every=(REPORT_EVERY_NS, context.reporter(judge, meter)),
    )  # fmt: skip
    ready()
    try:
        loop.run()
    finally:
        sockets.close()
        store.close()
        hand.close()
        context.recorder.close()
    return 0


class Appender:
    """Completes rows with their outcome, has the store judge them, and measures that."""

    def __init__(self, store: AuditStore, hand: InHand, context: Context) -> None:
        self._store = store
        self._hand = hand
        self._recorder = context.recorder
        self._clock_ns = context.clock.monotonic_ns

    def append(self, batch: Sequence[Delivery]) -> Sequence[Judged]:
        started_ns = self._clock_ns()
        for delivery in batch:
            # Only here are an event's own bytes touched one by one: the note names the culprit.
            self._hand.note(delivery.key, delivery.key_seq)
            delivery.outcome = _outcome(delivery)
        self._hand.clear()
        judged = self._store.append(batch)
        duration_ns = self._clock_ns() - started_ns
        record, count = self._recorder.record, self._recorder.count
        for delivery, word in zip(batch, judged, strict=True):
            if word.settled and word.appended:
                record(EventID.AUDIT_WRITE, duration_ns, int.from_bytes(delivery.event_id[:4]))
                count(EventID.OUTCOME, 1, OUTCOME_INDEX[Outcome(delivery.outcome)])
        return judged


def _outcome(delivery: Delivery) -> str:
    if not delivery.live:
        return outcome(delivery.fate, None, None)
    return outcome(delivery.fate, decode_decision(delivery.decision), decode_fills(delivery.fills))
