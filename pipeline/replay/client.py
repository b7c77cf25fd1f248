"""The client process: `python -m pipeline.replay.client` signs and posts what the `Task` on its stdin says.

It stops, finishing what is outstanding, on SIGTERM and when its stdin ends (the job has died).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import msgspec
import uvloop

from pipeline.clock import NS_PER_S, US_PER_S, Clock, SystemClock
from pipeline.errors import EXIT_NO, EXIT_OK, EXIT_USAGE, MissingError, RinglineError
from pipeline.replay.history import read_history
from pipeline.replay.lane import Lane
from pipeline.replay.pacer import Pacer
from pipeline.replay.posts import Post, lane_posts, plan
from pipeline.replay.spec import Progress, Result, Task, decode_task, encode_line
from pipeline.replay.tally import Tally
from pipeline.signing import Secret, parse_secret

PROGRESS_S = 0.5
ANSWER_S = 30.0
"""As long as Standard Webhooks lets a sender wait; then the event is sent again on a new connection."""
FINISH_S = 5.0
"""How long a client that was told to stop waits for outstanding answers."""


_REQUEST = b"""%bwebhook-id: %b\r
webhook-timestamp: %d\r
webhook-signature: %b\r
content-length: %d\r
\r
%b"""


class Client:
    """All lanes of one task. `run` ends when every lane has."""

    def __init__(self, task: Task, secret: Secret, clock: Clock) -> None:
        self.host = task.host
        self.port = task.port
        self._task = task
        self._secret = secret
        self._clock = clock
        self.now_ns = clock.monotonic_ns
        planned = plan(read_history(), task)
        self._planned = planned
        self._total = None if task.duration_s else sum(map(len, planned.values()))
        self.tally = Tally(planned)
        self.pacer = Pacer(task.rate, 0)
        self._head = request_head(task)
        self._lanes: set[Lane] = set()
        self._lingering = 0
        self._stopped = False
        self._fault = ""
        self._ended = asyncio.Event()

    async def run(self) -> Result:
        """Posts everything, or as much as it is let."""
        loop = asyncio.get_running_loop()
        cpu_start_s = time.process_time()
        started_ns = self.now_ns()
        self.pacer = Pacer(self._task.rate, started_ns)
        self._lanes = {
            Lane(self, lane_posts(self._task.run_id, self._planned, key), loop) for key in self._planned
        }
        for lane in tuple(self._lanes):
            lane.start()
        if not self._lanes:
            self._ended.set()
        if self._task.duration_s is not None:
            loop.call_later(self._task.duration_s, self._end)
        watcher = loop.create_task(self._watch(started_ns))
        await self._ended.wait()
        watcher.cancel()
        return self.tally.result(
            cpu_s=time.process_time() - cpu_start_s,
            unconfirmed=self._lingering,
            stopped=self._stopped,
            fault=self._fault,
        )

    def stop(self) -> None:
        """Told to stop: nothing more is sent."""
        self._stopped = True
        self._end()

    def progress(self) -> Progress:
        return self.tally.progress(self.now_ns(), self._total)

    # ---- what lanes need --------------------------------------------------------------------------------

    def request(self, post: Post) -> bytes:
        identity, body = post.webhook_id.encode("ascii"), post.body
        timestamp_s = self._clock.wall_us() // US_PER_S
        signature = self._secret.signature(b"%b.%d." % (identity, timestamp_s), body)
        return _REQUEST % (self._head, identity, timestamp_s, signature, len(body), body)

    def refused(self, post: Post, status: int, detail: str) -> None:
        if not self._fault:
            self._fault = f"the gateway answered {status} to {post.key} ({post.webhook_id}): {brief(detail)}"
        self._end()

    def finished(self, lane: Lane) -> None:
        self._lanes.discard(lane)
        self._lingering += lane.in_doubt
        if not self._lanes:
            self._ended.set()

    # ---- ending -----------------------------------------------------------------------------------------

    def _end(self) -> None:
        for lane in tuple(self._lanes):
            lane.stop()
        asyncio.get_running_loop().call_later(FINISH_S, self._abort)

    def _abort(self) -> None:
        for lane in tuple(self._lanes):
            lane.abort()

    async def _watch(self, started_ns: int) -> None:
        """Gives up on silent connections, and on a gateway that takes nothing any more."""
        patience_ns = int(self._task.give_up_s * NS_PER_S)
        while True:
            await asyncio.sleep(PROGRESS_S)
            now_ns = self.now_ns()
            overdue_ns = 0
            for lane in tuple(self._lanes):
                overdue_ns = max(overdue_ns, lane.overdue_ns(now_ns))
                if lane.outstanding and now_ns - lane.sent_ns > ANSWER_S * NS_PER_S:
                    lane.abort()
            if min(overdue_ns, now_ns - max(self.tally.last_accepted_ns, started_ns)) > patience_ns:
                self._fault = self._fault or self._silence()
                self._end()
                return

    def _silence(self) -> str:
        tried = ", ".join(f"{cause}: {count}" for cause, count in sorted(self.tally.retries.items()))
        return (
            f"the gateway at {self.host}:{self.port} has accepted nothing for {self._task.give_up_s:g} s "
            f"({tried or 'no connection'})"
        )


def request_head(task: Task) -> bytes:
    """The part of a request that never changes."""
    return (
        f"POST /webhook/{task.source} HTTP/1.1\r\n"
        f"host: {task.host}:{task.port}\r\n"
        "content-type: application/json\r\n"
    ).encode("ascii")


def brief(detail: str) -> str:
    """The `detail` of a problem+json answer, or the answer itself, on one line."""
    try:
        problem = msgspec.json.decode(detail)
    except msgspec.DecodeError:
        problem = None
    if isinstance(problem, dict):
        detail = str(problem.get("detail") or problem.get("title") or detail)
    return " ".join(detail.split())[:300]


# ---- the process ----------------------------------------------------------------------------------------


async def serve(task: Task, secret: Secret) -> Result:
    """Runs a task with this process's stdin, stdout and signals."""
    loop = asyncio.get_running_loop()
    client = Client(task, secret, SystemClock())
    loop.add_signal_handler(signal.SIGTERM, client.stop)
    loop.add_reader(sys.stdin.fileno(), _watch_stdin, client)
    reporter = loop.create_task(_report(client))
    result = await client.run()
    reporter.cancel()
    loop.remove_reader(sys.stdin.fileno())
    return result


def _watch_stdin(client: Client) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        client.stop()


async def _report(client: Client) -> None:
    while True:
        _say(client.progress())
        await asyncio.sleep(PROGRESS_S)


def _say(message: Progress | Result) -> None:
    try:
        os.write(sys.stdout.fileno(), encode_line(message))
    except BrokenPipeError:
        return  # the job has died; the end of stdin stops the client


def read_task() -> Task:
    """The task from stdin, read byte by byte so that nothing after its line is swallowed."""
    line = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) and byte != b"\n":
        line += byte
    try:
        return decode_task(bytes(line))
    except msgspec.MsgspecError as error:
        raise MissingError(f"client: no usable task on stdin: {error}") from None


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the job's to handle
    try:
        task = read_task()
        secret = parse_secret(task.secret, f"of source {task.source}")
    except RinglineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except ValueError as error:
        sys.stderr.write(f"the secret of source {task.source}: {error}\n")
        return EXIT_USAGE
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(serve(task, secret))
    _say(result)
    return EXIT_NO if result.fault else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
