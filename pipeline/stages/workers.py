"""The agent, exec and audit processes: each joins its node, its sockets and its telemetry, and runs."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pipeline.clock import NS_PER_MS
from pipeline.config import Config
from pipeline.config.check import PORT_STRIDE
from pipeline.config.schema import Agent, Audit, Exec
from pipeline.stages.agent_steps import AgentSteps
from pipeline.stages.appender import Appender
from pipeline.stages.checkpointing import Checkpointing
from pipeline.stages.context import REPORT_EVERY_NS, Context, Stop
from pipeline.stages.exec_steps import ExecSteps
from pipeline.stages.health_port import HealthPort
from pipeline.stages.meter import LinkMeter
from pipeline.stages.nudge import Nudge, nudge_name
from pipeline.stages.shared_scopes import SharedScopes
from pipeline.storage.audit.engines import open_store
from pipeline.storage.scopes.engines import open_scopes
from pipeline.storage.space import SpaceWatch
from pipeline.telemetry.events import EventID
from pipeline.trading.cores import agent_logic
from pipeline.trading.exec import ExecLogic
from pipeline.transport.dns_members import members_of
from pipeline.transport.held import Key, Work
from pipeline.transport.judge import Judge
from pipeline.transport.loop import Loop
from pipeline.transport.members import own_endpoint, own_index
from pipeline.transport.sockets import Sockets
from pipeline.transport.steps import Steps
from pipeline.transport.venue import Venue
from pipeline.transport.worker import Worker

Ready = Callable[[], None]


def run_agent(ordinal: int, config: Config, ready: Ready, stop: Stop) -> int:
    """An agent until it is asked to leave. Raises MissingError when its port cannot be had."""
    context = Context("agent", ordinal, config)
    meter = context.link_meter(EventID.AGENT_CONSUME, EventID.AGENT_PUBLISH)
    shared = None
    if config.agent.scopes == "redis":
        shared = SharedScopes(lambda: open_scopes(config), context.clock.monotonic_ns)
    context.watch_users_code(one.kind for one in config.trading.strategies.values())
    logic = agent_logic(config.trading, config.exec, shared)
    steps = AgentSteps(logic, config.audit.state_every, context.recorder, meter, context.clock.wall_us)
    try:
        return _run_worker(context, ordinal, "exec", steps, meter, ready, stop)
    finally:
        if shared is not None:
            shared.close()


def run_exec(ordinal: int, config: Config, ready: Ready, stop: Stop) -> int:
    """An exec until it is asked to leave. Raises MissingError when its port cannot be had."""
    context = Context("exec", ordinal, config)
    meter = context.link_meter(EventID.EXEC_CONSUME, EventID.FILL_PUBLISH)
    logic = ExecLogic(config.trading, config.exec)
    steps = ExecSteps(logic, config.audit.state_every, context.recorder, context.clock.wall_us)
    venue: Venue[tuple[Key, Work]] | None = None
    if config.exec.venue_latency_ms:
        latency_ns = config.exec.venue_latency_ms * NS_PER_MS
        venue = Venue(latency_ns, config.exec.venue_concurrency, wants=steps.orders, on_answer=steps.answered)
    return _run_worker(context, ordinal, "audit", steps, meter, ready, stop, venue)


def _run_worker(
    context: Context,
    ordinal: int,
    following: str,
    steps: Steps,
    meter: LinkMeter,
    ready: Ready,
    stop: Stop,
    venue: Venue[tuple[Key, Work]] | None = None,
) -> int:
    config = context.config
    own = config.agent if following == "exec" else config.exec
    downstream = members_of(config, "exec" if following == "exec" else "audit")
    audits = members_of(config, "audit")
    hand = context.in_hand()
    worker = Worker(
        context.name, following, context.boot, steps, context.timing,
        max_keys=own.max_keys, died_in_hand=hand.died[:2] if hand.died else None, hand=hand,
        meter=meter, clock_ns=context.clock.monotonic_ns, venue=venue,
    )  # fmt: skip
    sockets = Sockets(
        context.name, context.boot, bind=own_endpoint(own, ordinal),
        downstream=downstream, audits=audits, keys=context.link_keys, on_stranger=meter.stranger,
    )  # fmt: skip
    report = context.reporter(worker, meter)
    health = _health(own, ordinal, stop)
    loop = Loop(
        worker, sockets, context.clock, stop, context.timing, meter,
        drain_s=config.supervisor.drain_s, downstream=worker, members=(downstream, audits),
        every=lambda now_ns: min(report(now_ns), health(now_ns)),
    )  # fmt: skip
    ready()
    try:
        loop.run()
        hand.close()  # not when it failed: the next incarnation has to know on what
    finally:
        report.close()
        downstream.close()
        audits.close()
        sockets.close()
        context.recorder.close()
    return 0


def run_audit(ordinal: int, config: Config, ready: Ready, stop: Stop) -> int:
    """An audit until it is asked to leave. Raises MissingError or DamagedError when it cannot start."""
    context = Context("audit", ordinal, config)
    meter = context.link_meter()
    hand = context.in_hand()
    store = open_store(config)
    checkpoints = Checkpointing(ordinal, config, lambda: store.chain)
    nudge = Nudge(nudge_name(config))
    told = nudge if config.feed.enabled else _nobody
    clock = context.clock
    appender = Appender(store, hand, context.recorder, clock.monotonic_ns, told, clock.wall_us)
    judge = Judge(
        context.name, context.boot, appender.append, store.tail, context.timing,
        batch=config.audit.batch, died_in_hand=hand.died[:2] if hand.died else None, meter=meter,
        lasts=store.lasts,
    )  # fmt: skip
    sockets = Sockets(
        context.name, context.boot, bind=own_endpoint(config.audit, ordinal),
        keys=context.link_keys, on_stranger=meter.stranger,
    )  # fmt: skip
    report = context.reporter(judge, meter)
    health = _health(config.audit, ordinal, stop)
    space = SpaceWatch.of(config, context.clock)

    looked_ns = 0

    def every(now_ns: int) -> int:
        nonlocal looked_ns
        if now_ns >= looked_ns:
            looked_ns = now_ns + REPORT_EVERY_NS
            space.look()
            checkpoints.tick(now_ns)
        return min(report(now_ns), health(now_ns))

    loop = Loop(
        judge, sockets, context.clock, stop, context.timing, meter,
        drain_s=config.supervisor.drain_s, every=every, work_a_turn=config.audit.batch,
    )  # fmt: skip
    ready()
    try:
        loop.run()
        checkpoints.close()
    finally:
        report.close()
        sockets.close()
        nudge.close()
        store.close()
        hand.close()
        context.recorder.close()
    return 0


def _nobody() -> None:
    """There is no feed to be told."""


def _health(stage: Agent | Exec | Audit, ordinal: int, stop: Stop) -> Callable[[int], int]:
    """Answers probes when called with now (ns), says when it wants to be called again; never where none are
    expected. Raises MissingError."""
    if not stage.health_port:
        return lambda _: sys.maxsize
    port = HealthPort(stage.host, stage.health_port + PORT_STRIDE * own_index(stage, ordinal), stop.is_set)
    due_ns = 0

    def serve(now_ns: int) -> int:
        nonlocal due_ns
        if now_ns >= due_ns:
            due_ns = (now_ns // REPORT_EVERY_NS + 1) * REPORT_EVERY_NS
            port.serve()
        return due_ns

    return serve
