"""The job's side of the client process: starts it, listens to it, stops it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO

import msgspec

from pipeline.errors import RinglineError
from pipeline.replay.spec import Progress, Result, Task, decode_report, encode_line

COMMAND = (sys.executable, "-m", "pipeline.replay.client")
LEAVE_S = 10.0
"""More than the client waits for outstanding answers after it was told to stop."""
_KEPT_LINES = 20


class ClientProcess:
    """One client at work. `progress` and `result` are what it said last, None before.

    A session of its own keeps the terminal's Ctrl-C from it: the job decides when it stops. When the job
    dies, its end of the pipe closes and the client stops by itself.
    """

    def __init__(self, task: Task, command: Sequence[str] = COMMAND) -> None:
        self.progress: Progress | None = None
        self.result: Result | None = None
        self._complaints: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._note, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._stdin = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it died at once: `poll` tells why
            self._stdin.write(encode_line(task))
            self._stdin.flush()

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> Result | None:
        """Its result when it has ended, None while it works.

        Raises RinglineError when it ended without one.
        """
        if self._process.poll() is None:
            return None
        for reader in self._readers:
            reader.join(LEAVE_S)
        self._close()
        if self.result is None:
            raise RinglineError(
                f"the client died ({self._process.returncode}) with no result: {self._words()}"
            )
        return self.result

    def wait(self) -> Result:
        """Its result, waited for. Raises RinglineError when it ends without one."""
        while True:
            self._process.wait()
            if (result := self.poll()) is not None:
                return result

    def stop(self) -> None:
        """Tells it to send nothing more; it ends by itself once its outstanding requests are answered.

        By the end of its stdin: a signal would kill it while it still starts. Idempotent.
        """
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def kill(self) -> None:
        """Leaves no process behind, whatever state it is in. Idempotent."""
        self.stop()
        try:
            self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        for reader in self._readers:
            reader.join(LEAVE_S)
        self.stop()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _listen(self, stream: IO[bytes]) -> None:
        for line in stream:
            try:
                message = decode_report(line)
            except msgspec.MsgspecError:
                self._complaints.append(line.decode("utf-8", "replace").strip())
                continue
            if isinstance(message, Progress):
                self.progress = message
            else:
                self.result = message

    def _note(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._complaints.append(line.decode("utf-8", "replace").strip())

    def _words(self) -> str:
        return self._complaints[-1] if self._complaints else "it said nothing"
