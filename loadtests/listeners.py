"""Joins the users' measurements to Locust: one process or many, with `ringline loadtest` or by itself.

What a process measured leaves it once a second: to the master with Locust's own reports, and from the
master (or the only process) to `ringline loadtest`, a JSON line each, by the pipe that FD_VARIABLE names.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import gevent
import msgspec
from locust import events
from locust.runners import STATE_RUNNING, STATE_SPAWNING, LocalRunner, MasterRunner, WorkerRunner

from loadtests import limits
from loadtests.gates import alone
from loadtests.generator import Generator
from loadtests.names import FD_VARIABLE, PROCESS_VARIABLE, TASK_VARIABLE
from loadtests.settings import load_gates
from loadtests.tally import LOOP_LAG, Collected, Moment
from loadtests.task import read_task, secret_of
from pipeline.clock import NS_PER_S
from pipeline.errors import RinglineError

REPORT_KEY = "ringline"
LOOP_LOOK_S = 0.1
_lines = msgspec.json.Encoder()


class Link:
    """One process's end: its generator, and where what it measured goes."""

    def __init__(self, environment: Any, generator: Generator, orchestrated: bool) -> None:
        self.generator = generator
        self.collected = Collected()
        self._environment = environment
        self._orchestrated = orchestrated
        fd = os.environ.get(FD_VARIABLE, "")
        self._pipe = open(int(fd), "wb", buffering=0) if fd else None  # noqa: SIM115 - lives as long as we
        self._waiting: list[Moment] = []
        gevent.spawn(self._watch_loop)
        gevent.spawn(self._flush_forever)
        if environment.shape_class is not None:
            # Locust hears SIGTERM only once the shape is over: until then it would end in mid-request, and
            # what was sent in that second would stand in no ledger.
            self._hears = gevent.signal_handler(signal.SIGTERM, environment.shape_class.end)

    def open(self) -> None:
        """A test begins, it may be another one of the same web page."""
        self.generator.closing = False

    def close(self) -> None:
        """Nobody begins a request any more; those that are under way get their answers."""
        self.generator.closing = True

    def flush(self, last: bool = False) -> None:
        """Passes on the seconds that are over; `last`: this one too."""
        tally = self.generator.tally
        if last:
            tally.close()
        else:
            tally.turn(int(time.time()))
        self.generator.flush()
        moments = tally.take()
        if isinstance(self._environment.runner, WorkerRunner):
            self._waiting += moments
        else:
            self.deliver(moments)

    def deliver(self, moments: list[Moment]) -> None:
        """Moments of this process, or of a worker."""
        if not moments:
            return
        if self._pipe is not None:
            self._pipe.write(_lines.encode(moments) + b"\n")
        else:
            self.collected.add(moments)

    def report(self, data: dict[str, Any]) -> None:
        """A worker's: what goes with Locust's next report. The one after its users have ended is the last
        that anybody hears, so the second that has begun goes with it."""
        self.flush(last=self._environment.runner.state not in (STATE_SPAWNING, STATE_RUNNING))
        data[REPORT_KEY] = msgspec.msgpack.encode(self._waiting)
        self._waiting = []

    def judge(self) -> None:
        """At the end. Run by itself, the gates that need nothing but the answers decide the exit code."""
        self._let_finish()
        self.flush(last=True)
        if isinstance(self._environment.runner, WorkerRunner) or self._orchestrated:
            self._environment.process_exit_code = 0
            return
        options = self._environment.parsed_options
        gates = load_gates(Path(options.gates_file) if options.gates_file else None)
        verdicts = alone(self.collected.totals, gates)
        for verdict in verdicts:
            print(f"{verdict.name}: {verdict.verdict}: {verdict.sentence}")  # noqa: T201 - Locust's terminal
        self._environment.process_exit_code = int(any(found.verdict == "violated" for found in verdicts))

    def _let_finish(self) -> None:
        """An event that was sent gets its answer: users end their request, and so does who sends again."""
        generator, runner = self.generator, self._environment.runner
        self.close()
        if isinstance(runner, LocalRunner):  # stopped by a signal its users still run; workers' have ended
            runner.stop()
        deadline_s = time.monotonic() + limits.STOP_S
        while generator.in_flight and time.monotonic() < deadline_s:
            gevent.sleep(limits.DRAIN_LOOK_S)

    def _watch_loop(self) -> None:
        while True:
            before_ns = time.monotonic_ns()
            gevent.sleep(LOOP_LOOK_S)
            lag_ns = time.monotonic_ns() - before_ns - int(LOOP_LOOK_S * NS_PER_S)
            self.generator.tally.turn(int(time.time()))
            self.generator.tally.latency(LOOP_LAG, lag_ns)

    def _flush_forever(self) -> None:
        while True:
            gevent.sleep(1.0 - time.time() % 1.0 + 0.01)
            self.flush()


@events.init_command_line_parser.add_listener
def add_options(parser: Any, **_: Any) -> None:
    group = parser.add_argument_group("ringline")
    group.add_argument(
        "--source", default="demo", env_var="RINGLINE_SOURCE", help="Who sends: a name under `sources`."
    )
    group.add_argument(
        "--secret-file",
        default="ringline-data/secrets/demo.whsec",
        env_var="RINGLINE_SECRET_FILE",
        help="File with the source's whsec_… secret.",
    )
    group.add_argument(
        "--gates-file", default="", env_var="RINGLINE_GATES", help="TOML file with other gates."
    )


@events.init.add_listener
def begin(environment: Any, **_: Any) -> None:
    """Gives the process its generator and joins it to Locust's events."""
    try:
        link = _link(environment)
    except RinglineError as error:
        raise SystemExit(f"loadtests: {error}") from None
    environment.generator = link.generator
    if isinstance(environment.runner, WorkerRunner):
        environment.events.report_to_master.add_listener(lambda data, **_: link.report(data))
    if isinstance(environment.runner, MasterRunner):
        environment.events.worker_report.add_listener(lambda data, **_: link.deliver(_moments(data)))
    environment.events.test_start.add_listener(lambda **_: link.open())
    environment.events.test_stopping.add_listener(lambda **_: link.close())
    environment.events.quitting.add_listener(lambda **_: link.judge())


def _link(environment: Any) -> Link:
    options: Namespace = environment.parsed_options
    process = int(os.environ.get(PROCESS_VARIABLE, "0"))
    if file := os.environ.get(TASK_VARIABLE):
        task = read_task(Path(file))
        secret = secret_of(task.secret_file, task.secret_env)
        return Link(environment, Generator(secret, task.run, task.source, process, Path(task.folder)), True)
    secret = secret_of(options.secret_file, "")
    return Link(environment, Generator(secret, secrets.token_hex(4), options.source, process, None), False)


def _moments(data: dict[str, Any]) -> list[Moment]:
    return msgspec.msgpack.decode(data.pop(REPORT_KEY, b"\x90"), type=list[Moment])
