"""`ringline bench gateway`: durable accepts, beside the same HTTP server that only verifies and echoes.

Either server has one core, the same one, and who posts has the others: so neither wins by a second core, and
the client does not take from what it measures. A receiver of somebody else's keeps the cores it has.

The target is against the echo as an ASGI application, which is how any other would be served here. The
gateway takes a webhook that arrives in one piece without ASGI; what an echo does on that way is shown as
well, for it is the nearest to a bare limit.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import msgspec
from msgspec import Struct

from pipeline.bench.disk import fdatasync_p95_ms
from pipeline.bench.idle import cpu_ns
from pipeline.bench.links import free_port
from pipeline.bench.posts import Answers, post_from_a_process
from pipeline.config import Config
from pipeline.config.schema import Source
from pipeline.errors import MissingError
from pipeline.figures import Bench, Result, at_least, shown
from pipeline.machine import machine, versions
from pipeline.replay.tally import percentile
from pipeline.signing import secret_text

WANTED_SHARE = 0.6
WANTED_TIMES = 3.0
START_S = 30.0
WARM_UP = 2_000
"""Requests to each server before those that count: what a start costs is not what an event costs."""
LIMIT_S = 60.0
SOURCE = "bench"
HOST = "127.0.0.1"


class Peer(NamedTuple):
    """Another receiver of the same requests, which runs already: it knows the secret."""

    name: str
    port: int
    pids: tuple[int, ...]


class Options(Struct, frozen=True, kw_only=True):
    requests: int = 20_000
    connections: int = 128
    """Each waits for its answer, and so for a sync: with much fewer a durable server idles while it waits for
    the disk, and the disk is measured and not the server."""
    repeats: int = 3


class Took(NamedTuple):
    """`cpu_us`: processor time of the server for one request."""

    per_s: float
    cpu_us: float
    p99_ms: float


class Figures(NamedTuple):
    gateway: Took
    echo: Took
    straight: Took
    """The echo without ASGI."""
    peer: Took | None
    fdatasync_p95_ms: float


def run(
    config: Config,
    options: Options,
    say: Callable[[str], None],
    peer: Peer | None = None,
    secret: bytes | None = None,
) -> Bench:
    """Measures on a fresh data folder beside the configured one, which is removed afterwards.

    Raises MissingError when a server does not start or does not answer 202.
    """
    parent = Path(config.data_dir).resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".ringline-bench-", dir=parent))
    try:
        figures = _measure(config, options, say, folder, peer, secret or os.urandom(32))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Bench(machine=machine(), versions=versions(), results=results(figures, peer))


def _measure(
    config: Config,
    options: Options,
    say: Callable[[str], None],
    folder: Path,
    peer: Peer | None,
    secret: bytes,
) -> Figures:
    found: dict[str, list[Took]] = {"gateway": [], "echo": [], "straight": [], "peer": []}
    # In turns, so that whatever else the machine does meets all of them.
    for turn in range(options.repeats):
        say(f"turn {turn + 1} of {options.repeats}: {options.requests} requests, signed beforehand, to each")
        with _gateway(config, folder / str(turn), secret) as (port, pid):
            found["gateway"].append(posted(port, (pid,), secret, options, turn))
        with _echo(secret) as (port, pid):
            found["echo"].append(posted(port, (pid,), secret, options, turn))
        with _echo(secret, "straight") as (port, pid):
            found["straight"].append(posted(port, (pid,), secret, options, turn))
        if peer is not None:
            found["peer"].append(posted(peer.port, peer.pids, secret, options, turn))
    return Figures(
        max(found["gateway"]),
        max(found["echo"]),
        max(found["straight"]),
        max(found["peer"], default=None),
        fdatasync_p95_ms(folder),
    )


def results(figures: Figures, peer: Peer | None) -> tuple[Result, ...]:
    gateway, echo, straight = figures.gateway, figures.echo, figures.straight
    server = f"the same HTTP server that verifies and echoes, {echo.per_s:,.0f}/s"
    on_cpu = f"the echo's {echo.cpu_us:.0f} µs of processor time"
    sync_ms = figures.fdatasync_p95_ms
    shared = (
        shown("durable accepts", gateway.per_s, "events/s", server, echo.per_s),
        at_least("of the signed echo", gateway.per_s / echo.per_s, "×", WANTED_SHARE, server, 1.0),
        shown("of the signed echo, by processor time", echo.cpu_us / gateway.cpu_us, "×", on_cpu, 1.0),
        shown("of the signed echo without ASGI", gateway.per_s / straight.per_s, "×",
              f"{straight.per_s:,.0f}/s, {straight.cpu_us:.0f} µs of processor time", 1.0),
        shown("processor time of the gateway", gateway.cpu_us, "µs an event", "the echo", echo.cpu_us),
        shown("sent to 202, p99", gateway.p99_ms, "ms", f"bare fdatasync p95, {sync_ms:.3g} ms", sync_ms),
    )  # fmt: skip
    if figures.peer is None or peer is None:
        return shared
    times = gateway.per_s / figures.peer.per_s
    against = f"{peer.name}, {figures.peer.per_s:,.0f}/s"
    return (
        *shared,
        at_least("durable accepts as a multiple of a plain receiver", times, "×", WANTED_TIMES, against, 1.0),
        shown("processor time of the plain receiver", figures.peer.cpu_us, "µs an event", "the gateway",
              gateway.cpu_us),
    )  # fmt: skip


def posted(port: int, pids: tuple[int, ...], secret: bytes, options: Options, turn: int) -> Took:
    """Raises MissingError when anything but 202 is answered."""
    warm_up = min(WARM_UP, options.requests)
    unused = options.repeats * options.requests + turn * warm_up
    post(port, secret, unused, warm_up, options.connections)
    before_ns = sum(map(cpu_ns, pids))
    answers = post(port, secret, turn * options.requests, options.requests, options.connections)
    cpu_us = (sum(map(cpu_ns, pids)) - before_ns) / 1000 / options.requests
    if answers.statuses != {202: options.requests}:
        raise MissingError(f"port {port}: {options.requests} requests were answered {answers.statuses}")
    return Took(options.requests / answers.elapsed_s, cpu_us, percentile(answers.waits_us, 99) / 1000)


def post(port: int, secret: bytes, first: int, count: int, connections: int) -> Answers:
    """From a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    client = context.Process(
        target=post_from_a_process,
        args=(theirs, secret, (HOST, port, SOURCE), (first, count, connections, LIMIT_S)),
        daemon=True,
    )
    client.start()
    try:
        if client.pid is not None:
            os.sched_setaffinity(client.pid, _cores()[1])
        ours.recv_bytes()
        ours.send_bytes(b"go")
        answers: Answers = ours.recv()
        return answers
    finally:
        client.join(10)
        if client.is_alive():
            client.kill()


def _cores() -> tuple[set[int], set[int]]:
    """The server's core and the client's; where there is one only, they share it."""
    ours = os.sched_getaffinity(0)
    server = {min(ours)}
    return server, ours - server or server


@contextmanager
def _gateway(config: Config, folder: Path, secret: bytes) -> Iterator[tuple[int, int]]:
    """The gateway's own process, with nothing behind it: port and pid."""
    folder.mkdir(mode=0o700)
    replace = msgspec.structs.replace
    key = folder / "bench.whsec"
    key.write_text(secret_text(secret))
    port = free_port()
    own = replace(
        config,
        data_dir=str(folder / "data"),
        gateway=replace(config.gateway, host=HOST, port=port, tls_cert_file="", tls_key_file=""),
        telemetry=replace(config.telemetry, directory=str(folder / "rings")),
        sources={SOURCE: Source(secret_files=(str(key),))},
    )
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode(own))
    command = (sys.executable, "-m", "pipeline", "worker", "gateway", "--config", str(file))
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            os.sched_setaffinity(process.pid, _cores()[0])  # before it has threads: they inherit it
            _wait_for(port, process)
            yield port, process.pid
        finally:
            process.kill()


@contextmanager
def _echo(secret: bytes, *how: str) -> Iterator[tuple[int, int]]:
    command = (sys.executable, "-m", "pipeline.bench.echo_server", secret.hex(), *how)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            os.sched_setaffinity(process.pid, _cores()[0])
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urlopen(f"http://{HOST}:{port}/readyz", timeout=1):
            return  # its port takes connections long before it is ready
        time.sleep(0.05)
    raise MissingError(f"the gateway of the bench has not started on port {port}")
