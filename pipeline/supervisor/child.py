"""One running process of ours: its start, its first word, its lines, its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO

from pipeline import limits
from pipeline.config import environment_names
from pipeline.process import PARENT_PID, READY_FD, READY_LINE

_LAST_LINES_S = 1.0
"""After a death, what it still had to say is in the pipe already; this bounds the wait for the reader."""


class Child:
    """A started process. Not thread-safe, except that its lines are passed on by a thread of its own."""

    __slots__ = ("_first_word", "_popen", "_reader", "_ready_fd", "pid", "ready", "started_ns")

    def __init__(
        self,
        command: Sequence[str],
        *,
        now_ns: int,
        keep_fds: Sequence[int],
        on_line: Callable[[str], None],
    ) -> None:
        """Starts `command`. Call from a thread that lives as long as the child may: the kernel sends the
        parent-death signal when the *thread* that forked ends."""
        ready_read, ready_write = os.pipe()
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(ready_write, *keep_fds),
                env=_environment(ready_write),
                # Its own group: Ctrl-C in a terminal reaches the supervisor alone, which stops in order.
                process_group=0,
            )
        except BaseException:
            os.close(ready_read)
            raise
        finally:
            os.close(ready_write)
        os.set_blocking(ready_read, False)
        self._ready_fd: int | None = ready_read
        self._first_word = b""
        self.pid = self._popen.pid
        self.ready = False
        self.started_ns = now_ns
        assert self._popen.stdout is not None
        self._reader = threading.Thread(
            target=_pass_on, args=(self._popen.stdout, on_line), name=f"lines-{self.pid}", daemon=True
        )
        self._reader.start()

    @property
    def ready_fd(self) -> int | None:
        """Readable when there is a first word to be read; None when it has been."""
        return self._ready_fd

    @property
    def failure(self) -> str:
        """Why it cannot start, in its own words; "" when it said nothing."""
        return "" if self.ready else self._first_word.decode(errors="replace").strip()

    def listen(self) -> bool:
        """Reads what arrived on the ready pipe, without waiting. True when this made the child ready."""
        if self._ready_fd is None:
            return False
        while (data := _read(self._ready_fd)) is not None:
            self._first_word += data
            self.ready = self._first_word.startswith(READY_LINE)
            if self.ready or not data or len(self._first_word) > limits.MAX_FAILURE_TEXT_BYTES:
                self._close_ready()
                return self.ready
        return False

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that killed it."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """A no-op once it was reaped: a pid that may be somebody else's by now is never signalled."""
        self._popen.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """True when it has left within `timeout_s`."""
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """After its end: waits for its last lines and gives the descriptors back."""
        self.listen()
        self._close_ready()
        self._reader.join(_LAST_LINES_S)

    def _close_ready(self) -> None:
        if self._ready_fd is not None:
            os.close(self._ready_fd)
            self._ready_fd = None


def wait_for_a_word(children: Sequence[Child], timeout_s: float) -> None:
    """Returns when one of `children` has something on its ready pipe, or after `timeout_s`."""
    poller = select.poll()
    for child in children:
        if child.ready_fd is not None:
            poller.register(child.ready_fd, select.POLLIN)
    poller.poll(timeout_s * 1000)


def describe_end(code: int) -> str:
    """`exited with 3`, `killed by SIGSEGV`."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _environment(ready_fd: int) -> dict[str, str]:
    """Ours without the configuration keys: they are resolved in the file that the child reads, where a
    `--set` has already overruled them."""
    environment = {name: text for name, text in os.environ.items() if name not in environment_names()}
    environment[READY_FD] = str(ready_fd)
    environment[PARENT_PID] = str(os.getpid())
    return environment


def _read(fd: int) -> bytes | None:
    """What is there; b"" at the end, None when nothing is there yet."""
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return None


def _pass_on(stream: IO[bytes], on_line: Callable[[str], None]) -> None:
    with stream:
        for line in stream:
            on_line(line.decode(errors="replace").rstrip())
