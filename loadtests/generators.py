"""The Locust processes of a test: one, or a master with workers; what they measured comes back by a pipe."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from loadtests import children, limits
from loadtests.names import FD_VARIABLE, PROCESS_VARIABLE, TASK_VARIABLE
from loadtests.tally import Moment
from loadtests.task import Task

_moments = msgspec.json.Decoder(list[Moment])


class Generators:
    """Started at once; `poll` until `running` is False."""

    def __init__(self, task: Task, task_file: Path) -> None:
        self._log = Path(task.folder) / "locust.log"
        self._rest = b""
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read, selectors.EVENT_READ)
        file = Path(__file__).with_name("locustfile.py")
        common = ("--host", task.gateway_url, "--stop-timeout", str(limits.STOP_S), "--loglevel", "WARNING")
        words = (sys.executable, "-P", "-m", "locust", "-f", str(file), *common)
        alone = ("--headless", "--only-summary")
        environment = {TASK_VARIABLE: str(task_file)}
        self._children = []
        roles: list[tuple[str, ...]] = [alone]
        if task.generators > 1:
            port = str(_free_port())
            master = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
            worker = ("--worker", "--master-host", "127.0.0.1", "--master-port", port)
            expected = ("--expect-workers", str(task.generators))
            roles = [(*alone, *master, *expected), *[worker] * task.generators]
        for number, role in enumerate(roles):
            own = environment | {PROCESS_VARIABLE: str(number), FD_VARIABLE: "" if number else str(write)}
            self._children.append(
                children.start((*words, *role), self._log, environment=own, pass_fd=None if number else write)
            )
        os.close(write)

    @property
    def running(self) -> bool:
        """Whether the one that decides the end, the only one or the master, is there."""
        return self._children[0].poll() is None

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._children]

    def poll(self, wait_s: float) -> Iterator[list[Moment]]:
        """What came meanwhile; waits up to `wait_s` for something to come."""
        if not self._selector.select(wait_s):
            return
        while True:
            try:
                data = os.read(self._read, 1 << 20)
            except BlockingIOError:
                return
            if not data:
                time.sleep(min(wait_s, 0.05))  # closed: the process is about to end
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                yield _moments.decode(line)

    def failure(self) -> str:
        """How it ended, if it did not end well; empty otherwise."""
        code = self._children[0].poll()
        return "" if not code else f"the generator ended with exit code {code}: {children.tail(self._log)}"

    def stop(self) -> Iterator[list[Moment]]:
        """Ends all; yields the last that they had to say. Each is told once: Locust leaves at once when it is
        told again, and what it was about to note is lost."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        yield from self.poll(0.2)
        for child in self._children:
            children.wait_end(child, 2 * limits.STOP_S)
        yield from self.poll(0.0)
        self._selector.close()
        os.close(self._read)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
