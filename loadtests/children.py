"""Processes that a test starts: each ends when it is told to, and never outlives the test."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_libc = ctypes.CDLL(None, use_errno=True)


def start(
    words: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    pass_fd: int | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a child whose output goes to `log`. Call from the main thread: the kernel's word to the child
    (SIGTERM when its parent dies) is about the thread that started it.

    A session of its own: Ctrl-C reaches the test alone, which then ends its children in order.
    """
    parent = os.getpid()

    def tied() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            pass_fds=() if pass_fd is None else (pass_fd,),
            start_new_session=True,
            preexec_fn=tied,  # nothing but a system call
        )


def stop(child: subprocess.Popen[bytes], within_s: float) -> bool:
    """SIGTERM, and SIGKILL when that does not end it; True when it ended by itself."""
    if child.poll() is None:
        child.terminate()
    return wait_end(child, within_s)


def wait_end(child: subprocess.Popen[bytes], within_s: float) -> bool:
    """SIGKILL when one that was told to end has not by then; True when it ended by itself."""
    try:
        child.wait(within_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return False
    return True


def tail(log: Path, lines: int = 3) -> str:
    """The last words of a child, on one line."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])[:600]
