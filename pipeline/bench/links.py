"""`ringline bench links`: what one link carries, beside `multiprocessing.Queue`; what idling costs."""

from __future__ import annotations

import multiprocessing
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec import Struct

from pipeline.bench import queue_peer
from pipeline.bench.idle import idle_percent
from pipeline.bench.link_ends import Report, Sender, serve
from pipeline.bench.pipeline import one_worker_a_stage
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.config import Config
from pipeline.figures import Bench, Result, at_least, at_most, shown
from pipeline.machine import machine, versions
from pipeline.replay.tally import percentile
from pipeline.transport.curve import LinkKey, LinkKeys, new_secret

WANTED_PER_S = 60_000
WANTED_RATIO = 2.0
WANTED_P99_MS = 1.0
RATE_PER_S = 500
WANTED_IDLE_PERCENT = 2.0
WARM_UP = 2_000
T = TypeVar("T")


class Options(Struct, frozen=True, kw_only=True):
    messages: int = 100_000
    seconds: float = 10.0
    """Of the fixed rate."""
    idle_seconds: float = 20.0
    repeats: int = 3


class Carried(NamedTuple):
    """`sender_us` and `receiver_us`: processor time a message, both threads of each end."""

    per_s: float
    sender_us: float
    receiver_us: float


class Figures(NamedTuple):
    plain: Carried
    encrypted: Carried
    queue_per_s: float
    one_way_per_s: float
    one_way_ms: list[float]
    """p50 and p99."""
    idle: dict[str, float]


def run(config: Config, options: Options, say: Callable[[str], None]) -> Bench:
    """Measures with the configured credit, the idle pipeline on a data folder of its own."""
    return Bench(
        machine=machine(), versions=versions(), results=results(measure(config, options, say), config)
    )


def measure(config: Config, options: Options, say: Callable[[str], None]) -> Figures:
    context = multiprocessing.get_context("spawn")
    credit = config.links.credit
    plain, encrypted, queue, one_way = [], [], [], []
    # In turns, so that whatever else the machine does meets all of them.
    for turn in range(options.repeats):
        say(f"turn {turn + 1} of {options.repeats}: one link, the same link encrypted, two queues")
        plain.append(carried(context, options.messages, credit, ()))
        encrypted.append(carried(context, options.messages, credit, (LinkKey.of(new_secret()),)))
        queue.append(queue_peer.exchange(context, options.messages // 2, 2).per_s)
        one_way.append(queue_peer.exchange(context, options.messages // 2, 0).per_s)
    say(f"one link at {RATE_PER_S} messages/s for {options.seconds:g} s")
    ways = ways_ns(context, options.seconds, credit)
    say(f"the whole pipeline, idle for {options.idle_seconds:g} s")
    return Figures(
        max(plain), max(encrypted), max(queue), max(one_way),
        [percentile(ways, share) / NS_PER_MS for share in (50, 99)],
        _idle(config, options.idle_seconds),
    )  # fmt: skip


def results(figures: Figures, config: Config) -> tuple[Result, ...]:
    plain, encrypted, queue_per_s = figures.plain, figures.encrypted, figures.queue_per_s
    both = "messages, each with both acknowledgements"
    queue = f"multiprocessing.Queue with two answers to each, {queue_per_s:,.0f}/s"
    p50_ms, p99_ms = figures.one_way_ms
    idle = sum(figures.idle.values())
    most = max(figures.idle, key=lambda name: figures.idle[name], default="nothing")
    return (
        at_least(both, plain.per_s, "messages/s", WANTED_PER_S, queue, queue_per_s),
        at_least(
            "the same as a multiple of the queue", plain.per_s / queue_per_s, "×", WANTED_RATIO, queue, 1.0
        ),
        shown(
            "credit of the link", config.links.credit, "messages",
            f"the queue one way and unanswered, {figures.one_way_per_s:,.0f}/s",
        ),
        shown("processor time of the sender", plain.sender_us, "µs a message", "that of the receiver",
              plain.receiver_us),
        shown("encrypted", encrypted.per_s, "messages/s", "plain", plain.per_s),
        shown("processor time of both ends, encrypted", encrypted.sender_us + encrypted.receiver_us,
              "µs a message", "plain", plain.sender_us + plain.receiver_us),
        shown(f"one way at {RATE_PER_S}/s, p50", p50_ms, "ms", "1 ms", 1.0),
        at_most(f"one way at {RATE_PER_S}/s, p99", p99_ms, "ms", WANTED_P99_MS, "1 ms", 1.0),
        at_most(
            "processor time of the whole pipeline, idle", idle, "% of a core", WANTED_IDLE_PERCENT,
            f"most of it: {most}, {figures.idle.get(most, 0):.2g} %", WANTED_IDLE_PERCENT,
        ),
        *(shown(f"idle: {name}", percent, "% of a core", "the whole", idle)
          for name, percent in figures.idle.items()),
    )  # fmt: skip


def carried(context: SpawnContext, messages: int, credit: int, keys: LinkKeys) -> Carried:
    """The highest rate of one link, which is kept full."""

    def most(sender: Sender) -> tuple[float, float]:
        sender.until(WARM_UP)
        started, started_cpu = time.perf_counter(), time.process_time()
        sender.until(WARM_UP + messages)
        return time.perf_counter() - started, time.process_time() - started_cpu

    (elapsed_s, cpu_s), report = _over_a_link(context, credit, keys, most)
    return Carried(messages / elapsed_s, cpu_s / messages * 1e6, report.cpu_s / report.rows * 1e6)


def ways_ns(context: SpawnContext, seconds: float, credit: int) -> list[int]:
    """From a message's being ready to the receiver's work on it, at RATE_PER_S, sorted, nanoseconds."""

    def paced(sender: Sender) -> None:
        sender.until(WARM_UP)
        begin_ns = time.monotonic_ns()
        for number in range(int(seconds * RATE_PER_S)):
            due_ns = begin_ns + number * NS_PER_S // RATE_PER_S
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                sender.turn(left_ns // NS_PER_MS)
            sender.add(stamp=True)
            sender.turn()
        sender.until(sender.sent)

    _, report = _over_a_link(context, credit, (), paced)
    return sorted(report.one_way_ns)


def _over_a_link(
    context: SpawnContext, credit: int, keys: LinkKeys, use: Callable[[Sender], T]
) -> tuple[T, Report]:
    """What `use` returns, and what the other end saw meanwhile."""
    ours, theirs = context.Pipe()
    where = f"tcp://127.0.0.1:{free_port()}"
    other = context.Process(target=serve, args=(where, credit, keys, theirs), daemon=True)
    other.start()
    try:
        ours.recv_bytes()
        with closing(Sender(where, credit, keys)) as sender:
            found = use(sender)
        ours.send_bytes(b"leave")
        report: Report = ours.recv()
        return found, report
    finally:
        other.join(5)
        if other.is_alive():
            other.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _idle(config: Config, seconds: float) -> dict[str, float]:
    parent = Path(config.data_dir).resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".ringline-bench-", dir=parent))
    try:
        return idle_percent(one_worker_a_stage(config, folder), seconds, lambda _line: None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
